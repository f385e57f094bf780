"""The catalog on etcd. Every change of a record compares the volume's key, as every lease does.

So a volume cannot be leased on one node while another one begins to delete it: whichever comes
second finds the key changed, looks again, and is refused.
"""

import secrets
from collections.abc import Callable
from typing import TypeAlias

from volplug.catalog import Catalog, Record, RecordState
from volplug.deadline import check
from volplug.errors import Busy, VolumeInUse, VolumeNotFound
from volplug.etcd import held, pages
from volplug.etcd.client import Client
from volplug.etcd.entry import Entry
from volplug.etcd.held import VolumeView
from volplug.etcd.keys import Keys
from volplug.etcd.last_seen import LastSeen
from volplug.etcd.wire import get, put
from volplug.session import BoottimeClock, Observer, utc_now

Change: TypeAlias = Callable[[VolumeView], bool]
"""Says whether the change is to be made to the volume as it stands, or raises."""


class EtcdCatalog(Catalog):
    """All records of one store."""

    def __init__(
        self, client: Client, keys: Keys, node: str = "", observer: Observer | None = None
    ) -> None:
        """`node` is who works on what is changed here, and `observer` how it sees the others."""
        self._client = client
        self._keys = keys
        self._node = node
        self._observer = observer or Observer(BoottimeClock(), utc_now)
        self._seen: LastSeen[Record] = LastSeen()

    def add(self, record: Record) -> bool:
        """Store a new record; return False, and change nothing, if the name is taken."""
        return self._change(record.name, record, lambda view: view.entry.record is None)

    def replace(self, record: Record) -> None:
        """Overwrite the record of that name; raise VolumeNotFound if there is none.

        Raises VolumeInUse if it is to be deleted and any node leases the volume, and Busy as
        `claim` does.
        """

        def wanted(view: VolumeView) -> bool:
            self._refuse_others_work(view)
            if view.entry.record is None:
                raise VolumeNotFound(f"no volume is named {record.name!r}")
            if record.state is RecordState.DELETING:
                _refuse_held(view)
            return True

        self._change(record.name, record, wanted)

    def get(self, name: str) -> Record | None:
        """Return the record of that name; as it was last seen, while the store is away."""
        return self._seen.one(name, lambda: self._read(name))

    def records(self) -> list[Record]:
        """Return all records, sorted by name; as they were last seen, while the store is away."""
        return [record for _, record in sorted(self._seen.all(self._read_all).items())]

    def claim(self, name: str) -> None:
        """Make this node the one that works on a volume until its record is READY or forgotten.

        Raises Busy while another node that is alive works on it.
        """

        def wanted(view: VolumeView) -> bool:
            self._refuse_others_work(view)
            record = view.entry.record
            unfinished = record is not None and record.state is not RecordState.READY
            return unfinished and view.entry.worker != self._node

        self._change(name, None, wanted, keep_record=True)

    def remove(self, name: str) -> None:
        """Forget a record. Already forgotten is success; raises Busy as `claim` does."""
        first: list[Record] = []

        def wanted(view: VolumeView) -> bool:
            self._refuse_others_work(view)
            record = view.entry.record
            if record is not None and not first:
                first.append(record)
            return record is not None and record.created_at == first[0].created_at

        self._change(name, None, wanted)

    def _read(self, name: str) -> Record | None:
        awaited = f"the record of volume {name!r}"
        reply = self._client.txn(awaited, then=[get(self._keys.volume(name))])
        return Entry.read(reply.one(0)).record

    def _read_all(self) -> dict[str, Record]:
        found, _ = pages.read(self._client, "the records", self._keys.volumes)
        records = (Entry.read(each).record for each in found)
        return {record.name: record for record in records if record}

    def _refuse_others_work(self, view: VolumeView) -> None:
        """Raise Busy while another node that is alive makes or deletes the volume."""
        record, worker = view.entry.record, view.entry.worker
        if not self._node or not record or worker in ("", self._node):
            return
        if worker in view.holders and not held.silent(view, worker, self._observer):
            raise Busy(
                f"volume '{record.name}' is {record.state} on node '{worker}': try again when that"
                " is done, or that node has been silent for a while"
            )

    def _change(
        self, name: str, record: Record | None, wanted: Change, *, keep_record: bool = False
    ) -> bool:
        """Make a change exactly once, or not at all if it is not wanted; say which.

        The change's name is kept in the key: so a copy of the request that was applied is told
        from somebody else's change.
        """
        awaited = f"the record of volume {name!r}"
        while True:
            check(awaited)
            view = held.read_volume(self._client, self._keys, self._observer, name)
            if not wanted(view):
                return False
            after = view.entry.record if keep_record else record
            op = secrets.token_hex(8)
            reply = self._client.txn(
                awaited,
                when=view.same(),
                then=[put(view.volume_key, view.entry.changed(after, op, self._node).to_json())],
                otherwise=[get(view.volume_key)],
            )
            if reply.succeeded or op in Entry.read(reply.one(0)).ops:
                self._seen.note(name, after)
                return True


def _refuse_held(view: VolumeView) -> None:
    for each in view.held:
        raise VolumeInUse(
            f"volume '{each.lease.volume}' is in use on node '{each.lease.node}' since"
            f" {each.lease.since:%F %T} UTC; stop its containers first (`volplug leases` lists"
            " holders)"
        )
