"""First class disks of vSphere, attached to the machine that a node is.

vCenter has no client tokens, its names are not unique, and its tasks outlive who began them. So a
volume's file has a path that its name decides, every verb looks before it acts, and what an earlier
call left running is waited for, not begun again.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from volplug.sdk import (
    AccessMode,
    Attachment,
    Cloneable,
    Describing,
    Device,
    Driver,
    Expandable,
    Fencing,
    Size,
    Snapshot,
    Snapshottable,
    Volume,
    VolumeExists,
    VolumeInUse,
)
from volplug_vsphere import _holding, _node, _place
from volplug_vsphere._copying import Copying
from volplug_vsphere._disks import MIB, Disk, Disks
from volplug_vsphere._machines import Machines
from volplug_vsphere._place import Place
from volplug_vsphere._session import Session
from volplug_vsphere._settings import DISK_TYPES, VsphereConfig, VsphereOptions, checked_size
from volplug_vsphere._snapshots import FATE
from volplug_vsphere._vim import vim

T = TypeVar("T")


class VsphereDriver(
    Driver[VsphereConfig, VsphereOptions], Describing, Expandable, Cloneable, Snapshottable, Fencing
):
    """A disk per volume. Never `shared`: two kernels on one ext4 destroy it."""

    access_modes = frozenset({AccessMode.SINGLE_WRITER, AccessMode.SINGLE_CONTAINER})
    size_enforced = "hard"
    attach_limit = "60 disks of the machine, counted first"
    fence_proof = "the machine is off, says its host, and then lost the disk"
    late_writes = "none in the lab; no vCenter was measured"
    snapshot_fate = FATE

    def __init__(self, config: VsphereConfig) -> None:
        super().__init__(config)
        self._session = Session(config)
        self._copying = Copying(self._session, config)

    def node_id(self) -> str:
        """Return the BIOS UUID of this machine, which vCenter finds it by."""
        return _node.spelt(self.config.vm_uuid) if self.config.vm_uuid else _node.bios_uuid()

    def create(self, name: str, options: VsphereOptions) -> str:
        """Make the disk, or find the one that an earlier call made."""
        wanted = self.config.default_size if options.size is None else options.size
        size = checked_size(wanted, options.fstype)
        place = Place.of(self.config.datastore, self.config.folder, name)

        def verb(content: Any) -> str:
            disks = Disks(content, self.config)
            disks.make(place, -(-size // MIB), DISK_TYPES[options.disk])
            disk, _ = disks.register(place)
            if disk.size < size:
                raise VolumeExists(
                    f"{place.path} is there already, and is {disk.size} large instead of {size}: "
                    "ask for that size, or remove the disk in vCenter"
                )
            return place.handle(disk.id.id)

        return self._session.steadily(verb)

    def delete(self, volume: Volume[VsphereOptions]) -> None:
        """Delete the disk; refused while any machine lists it. Already gone is success."""
        disk_id, place = _place.read(volume)

        def verb(content: Any) -> None:
            disks = Disks(content, self.config)
            disk = disks.find(disk_id, place)
            if disk is None:
                if disks.uuid(place.path) is None:
                    return
                # The file is there without that disk: a newer volume's, or lost by the catalogue.
                disk, lost = disks.register(place)
                if not lost:
                    return
            if holders := self._machines(content).holders(disk):
                raise VolumeInUse(
                    f"machine {holders[0]} still has the disk of {volume.name!r}: detach it first"
                )
            disks.delete(disk)

        self._session.steadily(verb)

    def attach(self, volume: Volume[VsphereOptions], node_id: str) -> Device:
        """Attach the disk to the node's machine, unless another machine lists it."""

        def verb(disk: Disk, machines: Machines) -> Device:
            machine = _holding.give(machines, machines.get(node_id), disk, volume.name)
            identity = _holding.identity(machine, disk)
            return Device(identity, volume.options.fstype, size_bytes=disk.size)

        return self._on_disk(volume, verb)

    def detach(self, volume: Volume[VsphereOptions], node_id: str) -> None:
        """Detach the disk from the node's machine. Not there, or either gone, is success."""
        disk_id, place = _place.read(volume)

        def verb(content: Any) -> None:
            machines = self._machines(content)
            machine = machines.find(node_id)
            disk = Disk(vim.vslm.ID(id=disk_id), None, place.path, Size(0))
            if machine is not None and machines.settled(machine).disk(disk):
                machines.detach(machine, disk)

        self._session.steadily(verb)

    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Make the disk larger, in use or not; never smaller."""
        disk_id, place = _place.read(volume)
        checked_size(size)

        def verb(content: Any) -> None:
            try:
                Disks(content, self.config).grow(disk_id, place, size)
            except vim.fault.InvalidState as error:
                raise VolumeInUse(
                    f"vSphere cannot grow the disk of {volume.name!r} now: before 7.0 U2 it must "
                    "be detached, and it must have no snapshots"
                ) from error

        self._session.steadily(verb)

    def clone(self, origin: Volume[Any], name: str, options: VsphereOptions) -> str:
        """Copy the whole disk on the datastore, into a file that gets its name last."""
        return self._copying.clone(origin, name, options)

    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Take a snapshot of the disk; of one that is attached since vSphere 7.0 U3."""
        self._copying.snapshot(volume, name)

    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        """List the disk's snapshots that were asked for here."""
        return self._copying.snapshots(volume)

    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Delete a snapshot; disks that were made of it are whole. Gone is success."""
        self._copying.delete_snapshot(volume, name)

    def clone_snapshot(
        self, origin: Volume[Any], snapshot: str, name: str, options: VsphereOptions
    ) -> str:
        """Make a disk of a snapshot, beside its origin on the same datastore."""
        return self._copying.restore(origin, snapshot, name, options)

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Cut the power of the node's machine if it has the disk, then take the disk away.

        Proof is vCenter's word while the machine's host answers to it, never its memory.
        """
        return self._on_disk(
            volume,
            lambda disk, machines: _holding.cut_off(machines, machines.get(node_id), disk),
        )

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List the machines that have the disk in their configuration, running or not."""
        holders = self._on_disk(volume, lambda disk, machines: machines.holders(disk))
        return [Attachment(uuid) for uuid in sorted(machine.uuid for machine in holders)]

    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell the disk's file, and which machines have it, by their names in vCenter."""

        def verb(disk: Disk, machines: Machines) -> Mapping[str, str]:
            held = ", ".join(sorted(map(str, machines.holders(disk)))) or "none"
            return {"size_enforced": "hard", "file": disk.path, "machines": held}

        return self._on_disk(volume, verb)

    def _on_disk(self, volume: Volume[Any], verb: Callable[[Disk, Machines], T]) -> T:
        """Do it with the disk as it is now, and again after a trouble that passes."""
        disk_id, place = _place.read(volume)
        return self._session.steadily(
            lambda content: verb(
                Disks(content, self.config).get(disk_id, place), self._machines(content)
            )
        )

    def _machines(self, content: Any) -> Machines:
        return Machines(content, self.config.server)
