"""Amazon EBS volumes as volumes: one disk each, on one node of its zone at a time.

EC2 itself keeps a second node away, which is more than a lease can: a volume that is attached is
refused to everybody else. What EC2 cannot tell is whether the node that has it is alive.
"""

from collections.abc import Mapping
from typing import Any

from volplug.sdk import (
    AccessMode,
    Attachment,
    Cloneable,
    Describing,
    Device,
    Driver,
    Expandable,
    Fencing,
    InvalidOptions,
    NvmeSerial,
    Size,
    Snapshot,
    Snapshottable,
    Volume,
)
from volplug_ebs import _changes, _order
from volplug_ebs._attaching import Attaching
from volplug_ebs._disk import GIB
from volplug_ebs._disks import Disks
from volplug_ebs._ec2 import Ec2
from volplug_ebs._fence import Fence
from volplug_ebs._instances import Instances
from volplug_ebs._machine import Machine
from volplug_ebs._marks import MADE_AS
from volplug_ebs._settings import EbsConfig, EbsOptions
from volplug_ebs._snapshots import FATE, Snapshots


class EbsDriver(
    Driver[EbsConfig, EbsOptions], Expandable, Cloneable, Snapshottable, Fencing, Describing
):
    """A volume of EBS each. Never `shared`: Multi-Attach is no file system for two kernels."""

    access_modes = frozenset((AccessMode.SINGLE_CONTAINER, AccessMode.SINGLE_WRITER))
    size_enforced = "hard"
    attach_limit = "the instance type's, counted first"
    fence_proof = "EC2 has nothing to detach there; or the instance is stopped or terminated"
    late_writes = "none in the lab; EC2 was not measured"
    snapshot_fate = FATE

    def __init__(self, config: EbsConfig) -> None:
        super().__init__(config)
        if (config.access_key is None) != (config.secret_key is None):
            raise InvalidOptions("access_key and secret_key go together: give both or neither")
        self._machine = Machine(config)
        self._ec2 = Ec2(config, self._machine)
        self._disks = Disks(self._ec2, config.cluster)
        self._snapshots = Snapshots(self._ec2, self._disks, config.cluster)
        instances = Instances(self._ec2)
        self._attaching = Attaching(self._ec2, self._disks, instances)
        self._fence = Fence(self._ec2, self._disks, instances, self._attaching, config.fence_by)

    def create(self, name: str, options: EbsOptions) -> str:
        """Make a volume and return its id; one that was made before is found again.

        Found by its tags, or else by a client token that is derived from the name and the wishes.
        """
        return self._disks.make(name, _order.blank(self.config, options, self._zone(options)))

    def delete(self, volume: Volume[EbsOptions]) -> None:
        """Delete a volume. Gone already is success; VolumeInUse while an instance has it."""
        _changes.delete(self._ec2, self._disks, volume)

    def attach(self, volume: Volume[EbsOptions], node_id: str) -> Device:
        """Attach a volume to an instance and name the disk that appears there.

        Raises HeldElsewhere while another instance has it, and never takes it away.
        """
        disk = self._attaching.attach(volume, node_id)
        serial = NvmeSerial(disk.id.replace("-", ""))
        return Device(serial, volume.options.fstype, size_bytes=disk.size_gib * GIB)

    def detach(self, volume: Volume[EbsOptions], node_id: str) -> None:
        """Take a volume from an instance, with its consent. Not there is success."""
        self._attaching.detach(volume, node_id)

    def node_id(self) -> str:
        """Return the instance id of this machine."""
        return self._machine.instance_id()

    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Enlarge a volume, in use or not; four times in 24 hours, says EC2."""
        _changes.expand(self._ec2, self._disks, volume, size)

    def clone(self, origin: Volume[Any], name: str, options: EbsOptions) -> str:
        """Copy a volume within its zone; usable at once, while EC2 goes on copying."""
        if options.fstype != origin.options.fstype:
            raise InvalidOptions(f"a clone of {origin.name!r} has fstype={origin.options.fstype}")
        disk = self._disks.present(origin)
        if options.zone not in ("", disk.zone):
            raise InvalidOptions(f"a clone of {origin.name!r} stays in its zone, {disk.zone}")
        return self._disks.make(name, _order.copy(self.config, options, disk.id, disk.size_gib))

    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Take a snapshot; returns before it is completed, for what it holds is settled then."""
        self._snapshots.make(volume, name)

    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        """List the snapshots that carry the volume's tags."""
        return self._snapshots.named(volume)

    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Delete a snapshot; EC2 lets volumes that were made from it be. Gone is success."""
        self._snapshots.delete(volume, name)

    def clone_snapshot(
        self, origin: Volume[Any], snapshot: str, name: str, options: EbsOptions
    ) -> str:
        """Make a volume out of a snapshot, once that is completed; in any zone of the region."""
        if options.fstype != origin.options.fstype:
            raise InvalidOptions(f"a clone of {origin.name!r} has fstype={origin.options.fstype}")
        kept = self._snapshots.usable(origin, snapshot)
        size_gib, zone = self._disks.present(origin).size_gib, self._zone(options)
        return self._disks.make(name, _order.restored(self.config, options, kept, size_gib, zone))

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Cut an instance off from a volume, as `fence_by` says, and return the proof in words."""
        return self._fence.cut(volume, node_id)

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List the instances that have a volume, or are about to get or to lose it."""
        disk = self._disks.present(volume)
        return [Attachment(hold.instance, hold.since) for hold in disk.holds]

    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell what EC2 says of a volume now: where it is, who has it, what it is made as."""
        disk = self._disks.present(volume)
        holds = ", ".join(f"{hold.state} at {hold.instance}" for hold in disk.holds)
        return {
            "size_enforced": "hard",
            "size": f"{disk.size_gib} GiB",
            "state": holds or disk.state,
            "zone": disk.zone,
            "made_as": disk.tags.get(MADE_AS, "unknown"),
        }

    def _zone(self, options: EbsOptions) -> str:
        return options.zone or self.config.zone or self._machine.zone()
