"""The driver `netapp-nas`: a FlexVol exported over NFS, by an export policy of its own."""

from collections.abc import Mapping
from typing import Any

from volplug.sdk import (
    AccessDenied,
    AccessMode,
    Attachment,
    Cloneable,
    Describing,
    Driver,
    Exhausted,
    Expandable,
    Fencing,
    InvalidOptions,
    Share,
    Size,
    Snapshot,
    Snapshottable,
    Volume,
    VolumeInUse,
)
from volplug_netapp._client import Json, Ontap
from volplug_netapp._clones import FlexClones
from volplug_netapp._flexvols import FlexVol, FlexVols, larger
from volplug_netapp._lifs import address_towards, server, written
from volplug_netapp._rules import Rules
from volplug_netapp._settings import NasConfig, NasOptions, is_address
from volplug_netapp._snapshots import FATE, FlexSnapshots

_SHARED = (AccessMode.SHARED, AccessMode.SHARED_READ)
# Without retry=0 mount.nfs tries for two minutes; a superblock shared with another volume would
# have that one's options, and could not be cut off alone.
_OURS = ("hard", "nosuid", "nodev", "timeo=600", "retrans=2", "nosharecache")


class NetappNasDriver(
    Driver[NasConfig, NasOptions], Expandable, Cloneable, Snapshottable, Fencing, Describing
):
    """A FlexVol for each volume; ONTAP enforces its size. Nodes are called by their addresses."""

    access_modes = frozenset(AccessMode)
    size_enforced = "hard"
    attach_limit = "none"
    fence_proof = "no rule lets the node in, and it was not seen for 5 s"
    late_writes = "not measured: it takes an array"
    needs = ("mount.nfs",)
    snapshot_fate = FATE

    def __init__(self, config: NasConfig) -> None:
        super().__init__(config)
        self._ontap = Ontap(config)
        self._flexvols, self._rules = FlexVols(self._ontap, config), Rules(self._ontap, config)
        self._clones = FlexClones(self._ontap, config, self._flexvols)
        self._snapshots = FlexSnapshots(self._ontap, self._flexvols, self._clones)
        self._here = config.node_address

    def create(self, name: str, options: NasOptions) -> str:
        """Make an export policy that lets nobody in, then the FlexVol under it."""
        flexvol = self._flexvols.name(name)
        self._flexvols.find(name)  # refuse what is somebody else's before anything is made
        self._rules.make(flexvol)
        more = {
            "nas": {
                **_exported(flexvol),
                "security_style": "unix",
                "unix_permissions": 755,  # octal, written as a number (ONTAP's REST reference)
                "uid": 0,
                "gid": 0,
            },
            # `chown -R` over a hidden directory of snapshots fails.
            "snapshot_directory_access_enabled": False,
        }
        try:
            self._flexvols.make(name, options.size or self.config.default_size, more)
        except (Exhausted, AccessDenied):
            self._rules.delete(flexvol)  # for it is not tried again
            raise
        return flexvol

    def delete(self, volume: Volume[NasOptions]) -> None:
        """Delete the FlexVol and its policy; refused while a node is let in."""
        name = self._flexvols.check(volume)
        flexvol = self._flexvols.find(volume.name)
        if flexvol is not None:
            self._clones.refuse_use(flexvol)
            if nodes := ", ".join(one.node_id for one in self._attachments(name)):
                raise VolumeInUse(f"volume {volume.name!r} is exported to {nodes}: unmount it")
        self._clones.delete(volume.name)
        self._rules.delete(name)

    def attach(self, volume: Volume[NasOptions], node_id: str) -> Share:
        """Let the node in, and no other unless the volume is shared, and repair the export."""
        if not is_address(node_id):
            raise InvalidOptions(f"{node_id!r} is no address: nodes of netapp-nas are called by it")
        flexvol = self._flexvols.get(volume)
        self._rules.admit(
            flexvol.name,
            node_id,
            read_only=volume.access is AccessMode.SHARED_READ,
            shared=volume.access in _SHARED,
        )
        self._export(flexvol)
        options = {word.partition("=")[0]: word for word in (*_OURS, *self.config.mount_options)}
        words = (f"vers={self.config.version}", *options.values(), "retry=0")
        return Share("nfs", f"{written(server(self._ontap, self.config))}:/{flexvol.name}", words)

    def detach(self, volume: Volume[NasOptions], node_id: str) -> None:
        """Let the node in no more. Already out, or the FlexVol gone, is success."""
        self._rules.expel(self._flexvols.check(volume), node_id)

    def node_id(self) -> str:
        """Return the address that this machine has when it talks to the NFS LIF."""
        if not self._here:
            self._here = address_towards(server(self._ontap, self.config))
        return self._here

    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Make the FlexVol larger, in use or not."""
        flexvol = self._flexvols.get(volume)
        if larger(volume, flexvol.size_bytes, size):
            self._flexvols.change(flexvol, {"size": size})

    def clone(self, origin: Volume[Any], name: str, options: NasOptions) -> str:
        """Make a FlexClone under a policy of its own: its origin's would couple the two."""
        return self._copied(origin, self._flexvols.get(origin), "", name, options)

    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Take a snapshot of the FlexVol; its directory of snapshots stays hidden from nodes."""
        self._snapshots.make(volume, name)

    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        """List the FlexVol's snapshots that were asked for here."""
        return self._snapshots.named(volume)

    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Delete a snapshot, once its clones share no blocks with it. Gone is success."""
        self._snapshots.delete(volume, name)

    def clone_snapshot(
        self, origin: Volume[Any], snapshot: str, name: str, options: NasOptions
    ) -> str:
        """Make a FlexClone of a snapshot."""
        source, kept = self._snapshots.source(origin, snapshot, name)
        return self._copied(origin, source, kept, name, options)

    def _copied(
        self, origin: Volume[Any], source: FlexVol, snapshot: str, name: str, options: NasOptions
    ) -> str:
        size = options.size or Size(source.size_bytes)
        if size < source.size_bytes:
            raise InvalidOptions(
                f"size={size} is too small: {origin.name!r} is {Size(source.size_bytes)}"
            )
        policy = self._flexvols.name(name)
        try:
            with self._clones.all_or_nothing(source, name):
                self._rules.make(policy)
                made = self._clones.make(source, name, snapshot)
                self._export(made)
                if made.size_bytes < size:
                    self._flexvols.change(made, {"size": size})
        except (Exhausted, AccessDenied):
            self._rules.delete(policy)
            raise
        return made.name

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Take the node's rule away and wait until the array has not seen it for a while."""
        flexvol = self._flexvols.get(volume)
        self._export(flexvol)  # the policy that is looked at must be the one in force
        return self._rules.cut_off(flexvol.name, flexvol.name, node_id)

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List the clients that rules of the volume's policy let in."""
        return self._attachments(self._flexvols.get(volume).name)

    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell that the size holds, and what to look for on the array."""
        flexvol = self._flexvols.get(volume)
        return {"size_enforced": "hard", "flexvol": flexvol.name, "path": flexvol.path}

    def _attachments(self, policy: str) -> list[Attachment]:
        clients = {client for rule in self._rules.of(policy) for client in rule.clients}
        return [Attachment(client) for client in sorted(clients)]

    def _export(self, flexvol: FlexVol) -> None:
        """Put a FlexVol where it belongs, if it is not: a clone or a restored one is elsewhere."""
        if (flexvol.policy, flexvol.path) != (flexvol.name, f"/{flexvol.name}"):
            self._rules.make(flexvol.name)
            self._flexvols.change(flexvol, {"nas": _exported(flexvol.name)})


def _exported(flexvol: str) -> Json:
    return {"path": f"/{flexvol}", "export_policy": {"name": flexvol}}
