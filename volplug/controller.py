"""Making, deleting and enlarging the storage of volumes: what may run on any node.

Each step is recorded before and after its effect, so that a crash anywhere leaves a record that
tells what to finish: a volume that is CREATING is made again by the driver, which finds its own
earlier work; one that is DELETING has no way back.
"""

from dataclasses import replace
from typing import Any

from volplug import refusal, request
from volplug.backends import AnyDriver
from volplug.catalog import Record, RecordState
from volplug.crashpoint import crashpoint
from volplug.driver import Cloneable, Expandable, Snapshottable
from volplug.errors import (
    AccessDenied,
    Busy,
    Exhausted,
    InvalidOptions,
    Unsupported,
    VolumeInUse,
)
from volplug.event import Event
from volplug.host import Filesystem, Formatted
from volplug.node import Node
from volplug.options import Size
from volplug.volume import Volume

# With these a driver says that the volume can never be, and that it left nothing behind.
_FINAL = (InvalidOptions, Exhausted, AccessDenied, Unsupported)


class Controller:
    """The verbs create, delete and expand, over a catalog and the backends."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def create(self, wanted: Record) -> None:
        """Make the storage of a volume; one that exists with the same options is success.

        Raises VolumeExists when it exists with others, Busy while it is being deleted.
        """
        if wanted.origin and self._node.catalog.get(wanted.name) is None:
            self._origin(wanted)
        if self._node.catalog.add(wanted):
            crashpoint("create.recorded")
            self._make(wanted)
            return
        existing = self.record(wanted.name)
        if existing.state is RecordState.DELETING:
            raise Busy(f"volume '{wanted.name}' is still being deleted; try again when it is gone")
        request.check_same(existing, wanted, self._node.backends.driver(existing.backend))
        if existing.state is RecordState.CREATING:
            self._make(existing)

    def delete(self, name: str) -> None:
        """Delete a volume and its data; unknown is success.

        Raises VolumeInUse while any node leases it, it has snapshots, or a clone is half made.
        """
        record = self._node.catalog.get(name)
        if record is not None:
            with self._node.journal.step(Event.DELETE, volume=name):
                self._delete(record)

    def _delete(self, record: Record) -> None:
        name = record.name
        for lease in self._node.leases.leases(name):
            raise VolumeInUse(
                f"volume '{name}' is in use on node '{lease.node}' since {lease.since:%F %T} UTC;"
                " stop its containers first (`volplug leases` lists holders)"
            )
        self._refuse_clones(record)
        if record.state is RecordState.CREATING:
            record = self._make(record)  # the driver finds or makes it: only then it can be deleted
        driver = self._node.backends.driver(record.backend)
        if record.state is not RecordState.DELETING:
            self._refuse_snapshots(record, driver)
        record = replace(record, state=RecordState.DELETING)
        self._node.catalog.replace(record)
        crashpoint("delete.recorded")
        with self._node.operations.turn(record.backend):
            driver.delete(request.volume(record, driver))
        crashpoint("delete.deleted")
        self._node.catalog.remove(name)
        crashpoint("delete.forgotten")

    def expand(self, name: str, size: Size) -> None:
        """Make the storage at least that large; the caller grows the file system afterwards.

        Raises Unsupported if the backend cannot.
        """
        record = self.record(name)
        with self._node.journal.step(Event.EXPAND, volume=name):
            self._expand(record, size)

    def _expand(self, record: Record, size: Size) -> None:
        driver = self._node.backends.driver(record.backend)
        if not isinstance(driver, Expandable):
            raise Unsupported(f"backend '{record.backend}' cannot expand volume '{record.name}'")
        with self._node.operations.turn(record.backend):
            driver.expand(request.volume(record, driver), size)
        crashpoint("expand.expanded")
        self._node.catalog.replace(request.resized(record, size))

    def finish(self, name: str) -> None:
        """Finish what a crash or an unreachable backend left half done; nothing left is success."""
        record = self._node.catalog.get(name)
        if record is not None and record.state is RecordState.CREATING:
            self._make(record)
        elif record is not None and record.state is RecordState.DELETING:
            self.delete(name)

    def record(self, name: str) -> Record:
        """Return a volume's record; raise VolumeNotFound."""
        record = self._node.catalog.get(name)
        if record is None:
            raise refusal.absent(name)
        return record

    def _make(self, record: Record) -> Record:
        with self._node.journal.step(Event.CREATE, volume=record.name):
            return self._make_storage(record)

    def _make_storage(self, record: Record) -> Record:
        self._node.catalog.claim(record.name)
        driver = self._node.backends.driver(record.backend)
        volume = request.volume(record, driver)
        filesystem = Filesystem()
        try:
            with self._node.operations.turn(record.backend):
                if record.origin:
                    origin = self._origin(record)
                    filesystem = _copied(origin)
                    handle = _clone(driver, request.volume(origin, driver), record, volume.options)
                else:
                    handle = driver.create(record.name, volume.options)
        except _FINAL:
            self._node.catalog.remove(record.name)
            raise
        crashpoint("create.made")
        made = replace(record, state=RecordState.READY, handle=handle, filesystem=filesystem)
        self._node.catalog.replace(made)
        crashpoint("create.ready")
        return made

    def _origin(self, record: Record) -> Record:
        """Return the record to clone from; raise InvalidOptions or VolumeInUse if it cannot be."""
        name, snapshot = request.origin(record)
        origin = self._node.catalog.get(name)
        if origin is None or origin.state is not RecordState.READY:
            raise InvalidOptions(f"volume '{record.name}': there is no volume '{name}'")
        if origin.backend != record.backend:
            raise InvalidOptions(
                f"volume '{record.name}': '{origin.name}' is on backend '{origin.backend}',"
                f" and a clone must be on the same one"
            )
        for lease in () if snapshot else self._node.leases.leases(origin.name):
            raise VolumeInUse(
                f"volume '{record.name}': '{origin.name}' is in use on node '{lease.node}' since"
                f" {lease.since:%F %T} UTC; stop its containers, then clone"
            )
        return origin

    def _refuse_clones(self, record: Record) -> None:
        """Raise VolumeInUse if a clone is half made: without the volume nobody could finish it."""
        for each in self._node.catalog.records():
            if each.state is RecordState.CREATING and request.origin(each)[0] == record.name:
                raise VolumeInUse(
                    f"volume '{each.name}', a clone of volume '{record.name}', is only half made:"
                    " create it again to finish it, or remove it first"
                )

    def _refuse_snapshots(self, record: Record, driver: AnyDriver) -> None:
        """Raise VolumeInUse if a volume has snapshots: there is no way to them without it."""
        if not isinstance(driver, Snapshottable):
            return
        with self._node.operations.turn(record.backend):
            found = driver.snapshots(request.volume(record, driver))
        if found:
            names = ", ".join(sorted(one.name for one in found))
            raise VolumeInUse(
                f"volume '{record.name}' has snapshots ({names}), and {driver.snapshot_fate};"
                f" delete them first: `volplug snapshot rm {record.name} NAME`"
            )


def _clone(driver: AnyDriver, origin: Volume[Any], record: Record, options: Any) -> str:
    """Have the driver make a copy; the backend's class may have changed since it was asked for."""
    _, snapshot = request.origin(record)
    if snapshot and isinstance(driver, Snapshottable):
        return driver.clone_snapshot(origin, snapshot, record.name, options)
    if not snapshot and isinstance(driver, Cloneable):
        return driver.clone(origin, record.name, options)
    raise Unsupported(f"backend '{record.backend}' cannot make volume '{record.name}' any more")


def _copied(origin: Record) -> Filesystem:
    """Return what is known of the bytes on a clone."""
    if origin.filesystem.formatted is Formatted.READY and origin.filesystem.fstype:
        return replace(origin.filesystem, formatted=Formatted.CLONED)
    return origin.filesystem
