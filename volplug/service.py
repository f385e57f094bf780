"""What a front asks of volplug: the user's verbs, each with its exclusion.

Get and List answer from the store and the kernel's mount list and wait for nobody; the others run
as operations, one at a time on a volume.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from volplug import request
from volplug.catalog import Record, RecordState
from volplug.controller import Controller
from volplug.errors import VolumeInUse
from volplug.keeper import Keeper
from volplug.lease import Lease
from volplug.listing import Listing
from volplug.mounts import Mounts
from volplug.node import Node

_log = logging.getLogger(__name__)


class Service:
    """What users can ask of this node, whichever front they come through."""

    def __init__(self, node: Node, controller: Controller, mounts: Mounts, keeper: Keeper) -> None:
        self._node = node
        self._controller = controller
        self._mounts = mounts
        self._keeper = keeper

    def activated(self) -> None:
        """Note that a new engine instance speaks to us."""
        self._mounts.new_epoch()

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make a volume; the same name with the same options is success."""
        wanted = request.read(name, options, self._node.backends, self._node.now())
        with self._node.operations.caller(wanted.backend):
            self._node.operations.run(name, "create", lambda: self._controller.create(wanted))
        _log.info("created volume=%s backend=%s access=%s", name, wanted.backend, wanted.access)

    def remove(self, name: str) -> None:
        """Delete a volume and its data; unknown is success. Refused while it is used anywhere."""
        record = self._node.catalog.get(name)
        if record is None:
            return
        with self._node.operations.caller(record.backend):
            self._node.operations.run(name, "remove", lambda: self._remove(name))
        _log.info("removed volume=%s", name)

    def mount(self, name: str, mount_id: str) -> Path:
        """Give a volume to a workload and return its directory, which is really mounted."""
        record = self._controller.record(name)
        with self._node.operations.caller(record.backend):
            path = self._mounts.mount(name, mount_id)
        _log.info("mounted volume=%s id=%s", name, mount_id[:12])
        return path

    def unmount(self, name: str, mount_id: str) -> None:
        """Take a workload's use back; the volume leaves this node soon after its last user."""
        if self._mounts.unmount(name, mount_id):
            self._keeper.nudge(name)
        _log.info("unmounted volume=%s id=%s", name, mount_id[:12])

    def get(self, name: str) -> Listing | None:
        """Return what is known of a volume; None if there is no such volume."""
        record = self._node.catalog.get(name)
        if record is None or record.state is RecordState.CREATING:
            return None
        return self._listing(record, self._node.leases.leases(name), staged=True)

    def list(self) -> list[Listing]:
        """Return what is known of every volume."""
        leases = defaultdict(list)
        for lease in self._node.leases.leases():
            leases[lease.volume].append(lease)
        staged = self._node.host.staged()
        return [
            self._listing(record, leases[record.name], staged=record.name in staged)
            for record in self._node.catalog.records()
            if record.state is not RecordState.CREATING
        ]

    def _remove(self, name: str) -> None:
        for row in self._mounts.users(name):
            raise VolumeInUse(
                f"volume '{name}' is mounted on node '{row.node}' since {row.mounted_at:%F %T} UTC"
                f" by mount {row.mount_id[:12]}: stop its container first"
            )
        self._mounts.drain(name)
        self._controller.delete(name)

    def _listing(self, record: Record, leases: Iterable[Lease], *, staged: bool) -> Listing:
        host = self._node.host
        status: dict[str, str | int | float | bool | None] = {
            "backend": record.backend,
            "access": record.access.value,
            "state": record.state.value,
        }
        for lease in leases:
            status[f"lease.{lease.node}"] = f"{lease.state} since {lease.since:%FT%TZ}"
        if staged and (trouble := host.health(record.name)):
            status["health"] = trouble
        if operation := self._node.operations.running(record.name):
            status["operation"] = operation
        path = host.path(record.name) if staged else None
        return Listing(record.name, record.created_at, path, status)
