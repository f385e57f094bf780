"""Snapshots of volumes: taken while a volume is in use, and true about what that means.

A disk that is copied under a mounted file system looks as after a power cut. Where the volume is
mounted on this node its file system is held still meanwhile; where another node has it nobody here
can do that, and the answer says so. Nothing is recorded: the backend is asked for what there is.
"""

from dataclasses import dataclass
from typing import Any

from volplug import request
from volplug.catalog import Record, RecordState
from volplug.controller import Controller
from volplug.driver import Snapshot, Snapshottable
from volplug.errors import InvalidOptions, Unsupported
from volplug.host import Formatted
from volplug.node import Node
from volplug.volume import Volume, check_name


@dataclass(frozen=True, slots=True)
class Taken:
    """How a snapshot came about: `unused`, `frozen` or `crash-consistent`, or `kept` from before.

    `why` is the sentence for people.
    """

    consistency: str
    why: str


class Snapshots:
    """The snapshots of this cluster's volumes."""

    def __init__(self, node: Node, controller: Controller) -> None:
        self._node = node
        self._controller = controller

    def create(self, name: str, snapshot: str) -> Taken:
        """Keep what a volume holds now and tell what that is worth; repeating changes nothing.

        Raises InvalidOptions for a volume that was never mounted, for it holds nothing yet.
        """
        check_name(snapshot, "snapshot")
        record, driver, volume = self._found(name)
        if record.filesystem.formatted is not Formatted.READY:
            raise InvalidOptions(
                f"volume '{name}' was never mounted, so there is nothing to keep: use it first"
            )
        with self._node.operations.turn(record.backend):
            for one in driver.snapshots(volume):
                if one.name == snapshot:
                    return Taken("kept", f"'{name}@{snapshot}' was there already, as it is now")
            with self._node.host.frozen(name) as freeze:
                driver.create_snapshot(volume, snapshot)
        if freeze.held:
            return Taken("frozen", "the file system was held still while the snapshot was taken")
        return self._unfrozen(name, freeze.trouble)

    def list(self, name: str) -> list[Snapshot]:
        """Return the snapshots of a volume by their names, as its backend tells them now."""
        record, driver, volume = self._found(name)
        with self._node.operations.turn(record.backend):
            return sorted(driver.snapshots(volume), key=lambda one: one.name)

    def delete(self, name: str, snapshot: str) -> None:
        """Delete a snapshot; one that is gone is success. Volumes made from it stay."""
        check_name(snapshot, "snapshot")
        record, driver, volume = self._found(name)
        with self._node.operations.turn(record.backend):
            driver.delete_snapshot(volume, snapshot)

    def _found(self, name: str) -> tuple[Record, Snapshottable, Volume[Any]]:
        record = self._controller.record(name)
        driver = self._node.backends.driver(record.backend)
        if not isinstance(driver, Snapshottable):
            raise Unsupported(f"backend '{record.backend}' cannot make snapshots of '{name}'")
        if record.state is RecordState.CREATING:
            raise InvalidOptions(f"volume '{name}' is not made yet: see `volplug inspect {name}`")
        return record, driver, request.volume(record, driver)

    def _unfrozen(self, name: str, trouble: str) -> Taken:
        leases = self._node.leases.leases(name)
        if not leases:
            return Taken("unused", "nobody used the volume while the snapshot was taken")
        nodes = ", ".join(sorted(lease.node for lease in leases if lease.node != self._node.name))
        why = trouble if not nodes else f"it is in use on {nodes}; run this there to hold it still"
        return Taken("crash-consistent", f"the snapshot is what a power cut would leave: {why}")
