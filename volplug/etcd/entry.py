"""What a volume's key holds: its record, if it has one, and the last changes' names.

The key stays when the volume is deleted, so that its revision only grows; every change of the
record or of the volume's leases rewrites it, and so they come one after the other on all nodes.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from volplug.catalog import Record, RecordState
from volplug.etcd.wire import KeyValue
from volplug.host import Filesystem, Formatted
from volplug.volume import AccessMode, Owner

_REMEMBERED = 4
"""How many other nodes may change a record while one of us waits to hear whether it had."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A volume's key, read; `worker` is the node that makes or deletes the volume, if one does."""

    record: Record | None = None
    ops: tuple[str, ...] = ()
    worker: str = ""

    @classmethod
    def read(cls, found: KeyValue | None) -> "Entry":
        """Read what a key holds; one that is not there is an entry without a record."""
        if found is None:
            return cls()
        fields = json.loads(found.value)
        record = fields["record"]
        worker = fields.get("worker", "")
        return cls(_from_fields(record) if record else None, tuple(fields["ops"]), worker)

    def changed(self, record: Record | None, op: str, worker: str) -> "Entry":
        """Return the entry after a change, which is the worker's until all is done."""
        done = record is None or record.state is RecordState.READY
        return Entry(record, (op, *self.ops)[:_REMEMBERED], "" if done else worker)

    def to_json(self) -> str:
        """Write it down. JSON's escapes hold even what UTF-8 cannot."""
        record = _to_fields(self.record) if self.record else None
        fields = {"record": record, "ops": self.ops, "worker": self.worker}
        return json.dumps(fields, separators=(",", ":"))


def moment_to_text(moment: datetime) -> str:
    """Write a moment down; one without a time zone is a bug, for it means another on each node."""
    assert moment.tzinfo is not None, f"{moment} has no time zone"
    return moment.isoformat()


def _to_fields(record: Record) -> dict[str, Any]:
    return {
        "name": record.name,
        "backend": record.backend,
        "access": record.access,
        "options": dict(record.options),
        "created_at": moment_to_text(record.created_at),
        "owner": [record.owner.uid, record.owner.gid, record.owner.mode],
        "origin": record.origin,
        "state": record.state,
        "handle": record.handle,
        "formatted": record.filesystem.formatted,
        "fstype": record.filesystem.fstype,
        "fs_uuid": record.filesystem.uuid,
    }


def _from_fields(fields: dict[str, Any]) -> Record:
    return Record(
        name=fields["name"],
        backend=fields["backend"],
        access=AccessMode(fields["access"]),
        options=fields["options"],
        created_at=datetime.fromisoformat(fields["created_at"]),
        owner=Owner(*fields["owner"]),
        origin=fields["origin"],
        state=RecordState(fields["state"]),
        handle=fields["handle"],
        filesystem=Filesystem(Formatted(fields["formatted"]), fields["fstype"], fields["fs_uuid"]),
    )
