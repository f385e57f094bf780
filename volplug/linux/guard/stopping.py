"""Stopping one volume's writers on this machine, each way by the kind of thing that is mounted.

Looked up when it is time, not when it was armed: a volume is armed before anything of it is here. A
path to a mountpoint of our own takes no disk to walk, for the kernel keeps all of it in memory.

Neither `umount -l`, nor a remount as read-only, nor `umount -f` ends the writers of a disk
(leases.md 4.5). The order does matter: a bare shutdown loses the write that it meets, and after a
freeze there is none.
"""

import errno
import fcntl
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from volplug.errors import HostError
from volplug.linux import fuse, mountinfo, processes
from volplug.linux.footprint import Footprint
from volplug.linux.guard import freezing, users
from volplug.linux.guard.child import AT_ONCE, FAILED, THAW, Child
from volplug.linux.guard.post import Post
from volplug.linux.mountinfo import Mount

MARK = "VOLPLUG_LEASE"
"""The variable by which the programs are known that volplug starts for a volume."""

DISKS = frozenset({"ext4", "xfs", "btrfs"})

_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878  # linux/fs.h
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, struct.pack("I", 2)  # FS_IOC_SHUTDOWN, and its third flag

_DONE, _NOTHING_THERE = 0, 2


@dataclass(frozen=True)
class Place:
    """Where a volume is mounted, or will be, and what must never be stopped in its stead."""

    volume: str
    token: int
    post: Post

    @property
    def mark(self) -> bytes:
        """What the programs have in their environment that work for this volume."""
        return f"{MARK}={mark(self.post.mount_dir, self.volume, self.token)}".encode()

    def mount(self) -> Mount | None:
        """Return what is mounted there: a disk's whole file system, else what is handed out."""
        mounts = mountinfo.read()
        handed_out, aside = self._directories()
        return mounts.at(aside) or mounts.at(handed_out)

    def users(self, mount: Mount) -> users.Users:
        """Return who has it mounted, besides us."""
        mounts = mountinfo.read()
        places = [mounts.under(directory) for directory in self._directories()]
        return users.of(Footprint.of(mount), places)

    def _directories(self) -> tuple[Path, Path]:
        return self.post.mount_dir / self.volume, self.post.mount_dir / ".devices" / self.volume

    def is_the_hosts(self, device: int) -> bool:
        """Say whether that is the file system of the machine itself, or of volplug's records."""
        ours = (self.post.state_dir, self.post.mount_dir)
        return any(
            path.exists() and path.stat().st_dev == device
            for path in (Path("/"), Path("/usr"), Path("/var"), *ours)
        )


def mark(mount_dir: Path, volume: str, token: int) -> str:
    """Return the value of the variable MARK for one lease of one volume."""
    return f"{mount_dir}/{volume}@{token}"


class LinuxStopper:
    """A guard.Stopper of one volume on this machine; every blow is a child's."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.staged = False
        self._freezing: Child | None = None
        self._stopping: Child | None = None

    def freeze(self) -> None:
        """Begin a child that freezes, and then waits to be told to thaw."""
        self._freezing = Child(lambda told: _freeze(self._place, told, staged=self.staged))

    def thaw(self) -> None:
        """Tell that child, or begin one that thaws if the freeze was an earlier guard's."""
        if self._freezing is not None and self._freezing.code() is None:
            self._freezing.tell(THAW)
        else:
            self._freezing = Child(lambda told: _thaw_found(self._place, told))

    def stop(self) -> bool:
        """Stop, even in the midst of a freeze, which then is undone; see guard.Stopper."""
        if self._stopping is None:
            self._stopping = Child(lambda _: _stop(self._place))
            return False
        code = self._stopping.code()
        if code is None:
            return False
        if code != _DONE:
            self._stopping = None
            if code != _NOTHING_THERE:
                raise HostError(f"the stop of volume {self._place.volume!r} ended with code {code}")
            return self.staged  # else somebody may yet mount it
        if self._freezing is not None and self._freezing.code() is None:
            self._freezing.tell(AT_ONCE)
            return False
        return True


def _freeze(place: Place, told: int, *, staged: bool) -> int:
    """Freeze, wait for a word, thaw. End without a thaw if whoever was to tell is gone."""
    with freezing.begun(place.post.directory, place.volume):
        if not staged:
            processes.kill(processes.marked(place.mark))
        held = _found(place)
        if held is None:
            return _NOTHING_THERE
        held.freeze()
        word = os.read(told, 1)
    if word == AT_ONCE:
        held.thaw()
    return _thaw(place, held, told) if word == THAW else _DONE


def _thaw(place: Place, held: "_Disk | users.Users", told: int) -> int:
    """Thaw, once nobody is at work on a freeze any more: a guard that was killed may have been."""
    with freezing.over(place.post.directory, place.volume, told) as wanted:
        if wanted:
            held.thaw()
    return _DONE


def _thaw_found(place: Place, told: int) -> int:
    held = _found(place)
    return _NOTHING_THERE if held is None else _thaw(place, held, told)


def _found(place: Place) -> "_Disk | users.Users | None":
    mount = place.mount()
    if mount is None:
        return None
    return _Disk(place, mount) if mount.fstype in DISKS else place.users(mount)


class _Disk:
    """A mounted file system of its own, held open so that it cannot go while it is frozen."""

    def __init__(self, place: Place, mount: Mount) -> None:
        """Open it; raise HostError if it is the machine's own, or not what was seen there."""
        self._file = os.open(mount.mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        device = os.fstat(self._file).st_dev
        if place.is_the_hosts(device):
            raise HostError(f"{mount.mountpoint} is on the machine's own file system")
        if f"{os.major(device)}:{os.minor(device)}" != mount.device and mount.fstype != "btrfs":
            raise HostError(f"{mount.mountpoint} is not {mount.device} any more")

    def freeze(self) -> None:
        """Freeze it, which writes out all it has first. Frozen already is success."""
        _control(self._file, _FIFREEZE, 0, harmless=errno.EBUSY)

    def thaw(self) -> None:
        """Thaw it. Not frozen is success."""
        _control(self._file, _FITHAW, 0, harmless=errno.EINVAL)

    def shut_down(self) -> None:
        """End it for good: from here on nothing of it reaches its disk."""
        fcntl.ioctl(self._file, _SHUTDOWN, _NO_LOG_FLUSH)


def _stop(place: Place) -> int:
    """Stop what is mounted, after whoever might still mount it."""
    mount = place.mount()
    if mount is not None and mount.fstype in DISKS:
        disk = _Disk(place, mount)
        disk.shut_down()
        processes.kill(processes.marked(place.mark))
        with suppress(OSError):
            disk.thaw()
        return _DONE
    if mount is None:
        processes.kill(processes.marked(place.mark))
        return _NOTHING_THERE
    return _stop_tree(place, mount)


def _stop_tree(place: Place, mount: Mount) -> int:
    """Cut a tree's users off, where that can be done to it alone, and end them."""
    if fuse.is_fuse(mount):
        fuse.abort(mount)
        processes.kill(
            processes.marked(place.mark)
        )  # its daemon: what it has taken it might still pass on
    place.users(mount).kill()
    return FAILED if place.users(mount).processes else _DONE


def _control(file: int, request: int, argument: int, *, harmless: int) -> None:
    try:
        fcntl.ioctl(file, request, argument)
    except OSError as error:
        if error.errno != harmless:
            raise
