"""How a mounted volume is recognised again, in our own and in every other mount namespace.

A plain umount succeeds while containers use the volume, for they have mounts of their own
(docker-contract 3.3): who uses it is only to be seen in /proc/*/mountinfo. Copies that propagation
made of our own mounts are no users: they sit on the very directory that ours sit on.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from volplug.errors import HostError
from volplug.linux import mountinfo
from volplug.linux.mountinfo import Mount, Mounts, Place

_CAP_SYS_PTRACE = 19  # linux/capability.h


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the kernel shows of a mounted tree: the file system, and the path inside it.

    Numbers of devices without a disk (major 0) are used again at once, so for those the type and
    the source must agree as well. The source is no evidence for disks: a path to one has many
    spellings.
    """

    device: str
    root: str
    fstype: str
    source: str

    @classmethod
    def of(cls, mount: Mount) -> "Footprint":
        """Return the footprint of a mount that is seen now."""
        return cls(mount.device, mount.root, mount.fstype, mount.source)

    def matches(self, mount: Mount) -> bool:
        """Whether the mount shows exactly this tree."""
        return self._same_filesystem(mount) and mount.root == self.root

    def covers(self, mount: Mount) -> bool:
        """Whether the mount shows this tree or a part of it."""
        below = mount.root == self.root or mount.root.startswith(self.root.rstrip("/") + "/")
        return self._same_filesystem(mount) and below

    def _same_filesystem(self, mount: Mount) -> bool:
        if mount.device != self.device:
            return False
        if not self.device.startswith("0:"):
            return True
        return (mount.fstype, mount.source) == (self.fstype, self.source)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has a volume mounted: a process of that namespace (0 is ours), and where."""

    process: int
    mountpoint: str

    def __str__(self) -> str:
        if not self.process:
            return f"mounted at {self.mountpoint} on this machine"
        return f"mounted by process {self.process} ({_command(self.process)})"


def users(footprint: Footprint, own: Mounts, places: Collection[Place]) -> list[User]:
    """List who has the footprint mounted elsewhere than on the given places.

    One for each other namespace, and one for each further mountpoint in our own. Processes that
    vanish meanwhile or may not be looked at are passed over.
    """
    here = [
        User(0, mount.mountpoint)
        for mount in own
        if footprint.covers(mount) and own.place_of(mount) not in places
    ]
    return here + [
        User(process, mount.mountpoint)
        for process, mounts in other_namespaces()
        for mount in _first(footprint, mounts, places)
    ]


def holders(footprint: Footprint, own: Mounts) -> list[User]:
    """List every namespace that has the footprint mounted, propagated copies too."""
    return users(footprint, own, ())


def is_shown(device: str, own: Mounts) -> bool:
    """Say whether any namespace has anything of the file system with that number mounted."""
    views = [own, *(mounts for _, mounts in other_namespaces())]
    return any(mount.device == device for mounts in views for mount in mounts)


def other_namespaces() -> Iterator[tuple[int, Mounts]]:
    """Yield the mounts of every other mount namespace, with one process that lives in it.

    A process with a changed root sees only a part of its namespace and is asked besides. Raises
    HostError if root lacks the right to look: "nobody uses it" must never mean "we cannot see".
    """
    own = (mountinfo.PROC / "self/ns/mnt").readlink()
    seen = set()
    for directory in mountinfo.PROC.iterdir():
        if not directory.name.isdigit():
            continue
        try:
            view = (directory / "ns/mnt").readlink(), (directory / "root").readlink()
            if view[0] == own or view in seen:
                continue
            mounts = mountinfo.read(directory.name)
        except PermissionError as error:
            if _may_look():
                continue  # a supervisor outside of this machine's powers, and so of its containers
            raise HostError(
                f"the mounts of process {directory.name} may not be looked at, so it cannot be told"
                " who uses a volume: give volplug CAP_SYS_PTRACE and the host's PID namespace"
            ) from error
        except OSError:
            continue  # it ended meanwhile
        seen.add(view)
        yield int(directory.name), mounts


def _first(footprint: Footprint, mounts: Mounts, places: Collection[Place]) -> Iterator[Mount]:
    for mount in mounts:
        if footprint.covers(mount) and (not places or mounts.place_of(mount) not in places):
            yield mount
            return


def _command(process: int) -> str:
    try:
        return (mountinfo.PROC / str(process) / "comm").read_text().strip()
    except OSError:
        return "gone"


def _may_look() -> bool:
    """Say whether we can see all that this user ever could: root needs CAP_SYS_PTRACE for it."""
    if os.geteuid() != 0:
        return True
    status = (mountinfo.PROC / "self/status").read_text().splitlines()
    [effective] = [line.split()[1] for line in status if line.startswith("CapEff:")]
    return bool(int(effective, 16) >> _CAP_SYS_PTRACE & 1)
