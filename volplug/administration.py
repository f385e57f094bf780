"""What an operator asks of volplug: who holds what, all about a volume, and the last resorts."""

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from volplug import evidence, fences, quarantine, takeover, why
from volplug.catalog import Record
from volplug.controller import Controller
from volplug.errors import InvalidOptions, VolplugError, VolumeInUse
from volplug.event import Entry
from volplug.lease import Condemnation, Lease, LeaseState
from volplug.membership import Membership
from volplug.mounts import Mounts
from volplug.node import Node
from volplug.options import Size
from volplug.snapshots import Snapshots
from volplug.why import Answer

_log = logging.getLogger(__name__)


class Administration:
    """The operator's verbs on this node."""

    def __init__(self, node: Node, controller: Controller, mounts: Mounts) -> None:
        self._node = node
        self._controller = controller
        self._mounts = mounts
        self._snapshots = Snapshots(node, controller)
        self.membership = Membership(node)

    def volumes(self) -> list[dict[str, Any]]:
        """Return one row per volume, half-made ones included."""
        leases = defaultdict(list)
        for lease in self._node.leases.leases():
            leases[lease.volume].append(lease)
        return [self._row(record, leases[record.name]) for record in self._node.catalog.records()]

    def inspect(self, name: str) -> dict[str, Any]:
        """Return all that is known of a volume; raise VolumeNotFound."""
        record = self._controller.record(name)
        leases = self._node.leases.leases(name)
        return {
            **self._row(record, leases),
            "options": dict(record.options),
            "owner": {"uid": record.owner.uid, "gid": record.owner.gid, "mode": record.owner.mode},
            "clone_of": record.origin or None,
            "handle": record.handle,
            "described": self._described(record),
            "filesystem": {
                "formatted": record.filesystem.formatted.value,
                "fstype": record.filesystem.fstype or None,
                "uuid": record.filesystem.uuid or None,
            },
            "enforcement": self._enforcement(record, leases),
            "leases": [_lease_row(lease) for lease in leases],
            "quarantined": self.membership.quarantines(leases) or None,
            "condemned": [_condemnation_row(one) for one in self._node.leases.condemnations(name)],
            "mount_ids": [
                {"id": row.mount_id, "count": row.count, "mounted_at": row.mounted_at.isoformat()}
                for row in self._mounts.users(name)
            ],
            "users": self._node.host.users(name),
            "operation": self._node.operations.running(name),
        }

    def why(self, name: str) -> Answer:
        """Say who holds a volume, what was tried, what happens next and when, and what to do now.

        Answers for any name, and while the store or the backend is down.
        """
        return why.answer(evidence.collect(self._node, self._mounts, name))

    def journal(self, name: str | None = None, since: datetime | None = None) -> list[Entry]:
        """Return what this node did with a volume, or with all, oldest first."""
        return self._node.journal.entries(name, since)

    def leases(self, name: str | None = None) -> list[Lease]:
        """Return the leases of one volume, or all."""
        return self._node.leases.leases(name)

    def expand(self, name: str, size: Size) -> None:
        """Make a volume at least that large, in use or not."""
        self._node.operations.run(name, "expand", lambda: self._expand(name, size))
        _log.info("expanded volume=%s size=%d", name, size)

    def snapshot(self, name: str, snapshot: str) -> dict[str, Any]:
        """Keep what a volume holds now under a name; tell what that is worth."""
        taken = self._node.operations.run(
            name, f"snapshot '{snapshot}'", lambda: self._snapshots.create(name, snapshot)
        )
        _log.info("snapshot volume=%s name=%s %s", name, snapshot, taken.consistency)
        return {"snapshot": f"{name}@{snapshot}", **dataclasses.asdict(taken)}

    def snapshots(self, name: str) -> list[dict[str, Any]]:
        """List the snapshots of a volume."""
        return [
            {
                "snapshot": f"{name}@{one.name}",
                "taken_at": one.taken_at and one.taken_at.isoformat(),
            }
            for one in self._snapshots.list(name)
        ]

    def remove_snapshot(self, name: str, snapshot: str) -> None:
        """Delete a snapshot; one that is gone is success. Volumes made from it stay."""
        self._node.operations.run(
            name,
            f"removal of snapshot '{snapshot}'",
            lambda: self._snapshots.delete(name, snapshot),
        )
        _log.info("removed snapshot volume=%s name=%s", name, snapshot)

    def release(self, name: str, *, by: str, reason: str) -> str:
        """Take a volume's leases from their holders by hand, keep the reason, say what was done.

        Refused while a holder may still write: on this node while the volume is used here, on
        another one until its session has been silent for long enough.
        """
        if not reason.strip():
            raise InvalidOptions("a reason is wanted, and kept: --reason 'node3 burnt down'")
        held = self._node.leases.leases(name)
        if not held:
            self._controller.record(name)
            return f"volume '{name}' is not leased; nothing was changed"
        return self._node.operations.run(name, "release", lambda: self._release(held, by, reason))

    def _release(self, held: list[Lease], by: str, reason: str) -> str:
        for lease in held:
            if self._node.leases.mine(lease.volume) == lease:
                self._take_down(lease.volume)
            elif lease.state is LeaseState.LIVE:
                raise VolumeInUse(
                    f"volume '{lease.volume}' is held by node '{lease.node}', which is alive: stop"
                    " its containers there, or run this command on that node"
                )
            quarantine.condemn(self._node, lease, by=by, reason=reason)
        nodes = ", ".join(sorted(lease.node for lease in held))
        return f"the lease of volume '{held[0].volume}' was taken from {nodes}"

    def _take_down(self, name: str) -> None:
        """Take the volume off this node before its lease is broken; VolumeInUse if it is used."""
        for row in self._mounts.users(name):
            raise VolumeInUse(
                f"volume '{name}' is mounted on this node since {row.mounted_at:%F %T} UTC by mount"
                f" {row.mount_id[:12]}: stop its container first"
            )
        self._node.host.unstage(name)

    def _expand(self, name: str, size: Size) -> None:
        self._controller.expand(name, size)
        if self._node.host.path(name) is not None:
            self._node.host.grow(name, size)

    def _row(self, record: Record, leases: Iterable[Lease]) -> dict[str, Any]:
        path = self._node.host.path(record.name)
        return {
            "name": record.name,
            "backend": record.backend,
            "driver": self._node.backends.driver_name(record.backend),
            "access": record.access.value,
            "state": record.state.value,
            "size": record.options.get("size"),
            "created_at": record.created_at.isoformat(),
            "mountpoint": str(path) if path else None,
            "nodes": [lease.node for lease in leases],
            "mounts": len(self._mounts.users(record.name)),
        }

    def _enforcement(self, record: Record, leases: list[Lease]) -> str:
        """Return the volume's level, and what a takeover from its holder would need."""
        try:
            storage = fences.storage_of(self._node, record)
            nodes = self._node.leases.nodes()
        except VolplugError as error:
            return f"unknown: {error}"
        guarded = min((takeover.guard_level(lease, nodes) for lease in leases), default=None)
        if guarded is None:  # nobody holds it: what this node would say if it did
            said = [one.guard_level for one in nodes if one.node == self._node.name]
            guarded = min(said, default=0)
        return takeover.sentence(storage, guarded)

    def _described(self, record: Record) -> dict[str, str]:
        """Return what the driver tells of the volume, or why it cannot at the moment."""
        try:
            return evidence.described(record, self._node.backends.driver(record.backend))
        except VolplugError as error:
            return {"unavailable": str(error)}


def _lease_row(lease: Lease) -> dict[str, Any]:
    return {
        "node": lease.node,
        "access": lease.access.value,
        "token": lease.token,
        "since": lease.since.isoformat(),
        "state": lease.state.value,
    }


def _condemnation_row(one: Condemnation) -> dict[str, Any]:
    return {
        "node": one.node,
        "token": one.token,
        "by": one.by,
        "reason": one.reason,
        "at": one.at.isoformat(),
    }
