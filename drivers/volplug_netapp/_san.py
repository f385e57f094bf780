"""The driver `netapp-san`: a FlexVol with one LUN, mapped to one node's initiator over iSCSI."""

from collections.abc import Mapping
from typing import Any

from volplug.sdk import (
    AccessDenied,
    AccessMode,
    Attachment,
    Cloneable,
    Describing,
    Device,
    Driver,
    Exhausted,
    Expandable,
    Fencing,
    InvalidOptions,
    IscsiLun,
    Size,
    Snapshot,
    Snapshottable,
    Volume,
    VolumeInUse,
    VolumeNotFound,
)
from volplug_netapp import _node
from volplug_netapp._client import Ontap
from volplug_netapp._clones import FlexClones
from volplug_netapp._flexvols import FlexVol, FlexVols, larger
from volplug_netapp._logins import Logins
from volplug_netapp._luns import Lun, Luns, around, whole
from volplug_netapp._maps import Maps
from volplug_netapp._settings import SanConfig, SanOptions, is_iqn
from volplug_netapp._snapshots import FATE, FlexSnapshots

# What mkfs needs at least, with room for a file or two.
_LEAST = {"ext4": Size.parse("20M"), "xfs": Size.parse("300M"), "btrfs": Size.parse("128M")}


class NetappSanDriver(
    Driver[SanConfig, SanOptions], Expandable, Cloneable, Snapshottable, Fencing, Describing
):
    """A LUN for each volume. Never `shared`: two kernels on one ext4 destroy it.

    Nodes are called by the names of their iSCSI initiators.
    """

    access_modes = frozenset(AccessMode) - {AccessMode.SHARED}
    size_enforced = "hard"
    attach_limit = "256 LUNs of a node: more have several spellings"
    fence_proof = "the LUN is not mapped to the node, read back"
    late_writes = "none in the lab; no array was measured"
    needs = ("iscsiadm",)
    snapshot_fate = FATE

    def __init__(self, config: SanConfig) -> None:
        super().__init__(config)
        ontap = Ontap(config)
        self._flexvols, self._luns = FlexVols(ontap, config), Luns(ontap, config)
        self._logins = Logins(ontap, config)
        self._clones = FlexClones(ontap, config, self._flexvols)
        self._snapshots = FlexSnapshots(ontap, self._flexvols, self._clones)
        self._maps = Maps(ontap, config)

    def create(self, name: str, options: SanOptions) -> str:
        """Make a FlexVol, then the LUN in it; what an earlier create made of them is taken."""
        size = options.size or self.config.default_size
        _admit(options.fstype, size)
        room = around(size)
        made = self._flexvols.make(name, whole(size), room)
        try:
            self._luns.make(made.name, size)
        except (Exhausted, AccessDenied):
            self._clones.delete(name)  # for it is not tried again
            raise
        return made.name

    def delete(self, volume: Volume[SanOptions]) -> None:
        """Delete the LUN, which ONTAP refuses while it is mapped, then the FlexVol around it."""
        name = self._flexvols.check(volume)
        flexvol = self._flexvols.find(volume.name)
        if flexvol is not None:
            self._clones.refuse_use(flexvol)
            lun = self._luns.find(name)
            if lun is not None and not self._luns.delete(lun):
                nodes = ", ".join(one.node_id for one in self._attachments(lun))
                raise VolumeInUse(f"volume {volume.name!r} is mapped to {nodes}: unmount it there")
        self._clones.delete(volume.name)

    def attach(self, volume: Volume[SanOptions], node_id: str) -> Device:
        """Map the LUN to the node, and to no other unless the volume is only read."""
        if not is_iqn(node_id):
            raise InvalidOptions(f"{node_id!r} is no iSCSI initiator's name: wanted iqn.…")
        lun = self._lun(volume)
        self._logins.admit(node_id)
        machine = _node.machine(node_id, self.config.initiator)
        shared = volume.access is AccessMode.SHARED_READ
        held = self._maps.hold(lun, node_id, machine, shared=shared)
        portals, target = self._luns.portals(held.nodes), self._luns.target()
        identity = IscsiLun(portals, target, held.number, lun.serial)
        return Device(identity, volume.options.fstype, size_bytes=lun.size_bytes)

    def detach(self, volume: Volume[SanOptions], node_id: str) -> None:
        """Unmap the LUN from the node. Already unmapped, or the LUN gone, is success."""
        name = self._flexvols.check(volume)
        lun = self._luns.find(name) if self._flexvols.find(volume.name) else None
        self._maps.release(lun, node_id)

    def node_id(self) -> str:
        """Return the name of this machine's iSCSI initiator."""
        return self.config.initiator or _node.initiator()

    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Grow the FlexVol, then the LUN in it, in use or not; the node must look again."""
        flexvol, lun = self._flexvols.get(volume), self._lun(volume)
        if larger(volume, lun.size_bytes, size):
            room = around(size)
            if flexvol.size_bytes < whole(size * 11 // 10):
                self._flexvols.change(flexvol, room)
            self._luns.grow(lun, size)

    def clone(self, origin: Volume[Any], name: str, options: SanOptions) -> str:
        """Make a FlexClone: it shares blocks until either is written, and its LUN is a new one."""
        return self._copied(origin, self._flexvols.get(origin), "", name, options)

    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Take a snapshot of the FlexVol, and of the LUN in it with that."""
        self._snapshots.make(volume, name)

    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        """List the FlexVol's snapshots that were asked for here."""
        return self._snapshots.named(volume)

    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Delete a snapshot, once its clones share no blocks with it. Gone is success."""
        self._snapshots.delete(volume, name)

    def clone_snapshot(
        self, origin: Volume[Any], snapshot: str, name: str, options: SanOptions
    ) -> str:
        """Make a FlexClone of a snapshot."""
        source, kept = self._snapshots.source(origin, snapshot, name)
        return self._copied(origin, source, kept, name, options)

    def _copied(
        self, origin: Volume[Any], source: FlexVol, snapshot: str, name: str, options: SanOptions
    ) -> str:
        if options.fstype != origin.options.fstype:
            raise InvalidOptions(f"a clone of {origin.name!r} has fstype={origin.options.fstype}")
        present = self._lun(origin).size_bytes
        size = options.size or Size(present)
        if size < present:
            raise InvalidOptions(f"size={size} is too small: {origin.name!r} is {Size(present)}")
        room = around(size) if size > present else {}  # refused before anything is made
        with self._clones.all_or_nothing(source, name):
            made = self._clones.make(source, name, snapshot)
            lun = self._luns.find(made.name)
            if lun is None:
                raise VolumeNotFound(f"the clone of {origin.name!r} holds no LUN: delete it")
            if lun.size_bytes < size:
                self._flexvols.change(made, room)
                self._luns.grow(lun, size)
        return made.name

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Unmap the LUN from the node and read back that nothing is left of it."""
        return self._maps.cut_off(self._lun(volume), node_id)

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List the initiators that the LUN is mapped to, through whatever group."""
        return self._attachments(self._lun(volume))

    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell that the size holds, and what to look for on the array."""
        lun = self._lun(volume)
        return {"size_enforced": "hard", "lun": lun.path, "serial": lun.serial}

    def _attachments(self, lun: Lun) -> list[Attachment]:
        names = {name for found in self._maps.of(lun) for name in found.initiators}
        return [Attachment(name) for name in sorted(names)]

    def _lun(self, volume: Volume[Any]) -> Lun:
        lun = self._luns.find(self._flexvols.get(volume).name)
        if lun is None:
            raise VolumeNotFound(f"the LUN of volume {volume.name!r} is gone from the array")
        return lun


def _admit(fstype: str, size: Size) -> None:
    if size < (least := _LEAST[fstype]):
        raise InvalidOptions(f"size={size} is too small: {fstype} needs {least}")
