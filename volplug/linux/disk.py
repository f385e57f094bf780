"""A disk that was found by its identity and is held open while decisions are made about it.

The open file is the guarantee: the kernel may give the disk's name to another one at any time, but
not to what we have open.
"""

import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from volplug.deadline import deadline, wait_until
from volplug.errors import HostError
from volplug.linux import iscsi, loop, sysfs
from volplug.linux.iscsi import multipath
from volplug.options import Size
from volplug.source import Device, Identity, IscsiLun, LoopFile, ScsiWwid

_SIZE, _SET_READ_ONLY, _FLUSH = 0x80081272, 0x125D, 0x1261  # BLKGETSIZE64, BLKROSET, BLKFLSBUF

_APPEAR_S = 60.0
"""How long a disk may take to appear after the backend said that it is attached."""


@dataclass(frozen=True, slots=True)
class Disk:
    """An open disk; `number` is `major:minor`, `sequence` tells it from earlier ones there."""

    path: str
    number: str
    sequence: int
    file: int

    @property
    def size_bytes(self) -> int:
        """The size the kernel shows now."""
        answer: tuple[int] = struct.unpack("Q", fcntl.ioctl(self.file, _SIZE, bytes(8)))
        return answer[0]

    def set_read_only(self, *, wanted: bool) -> None:
        """Let the kernel refuse, or allow, every write to the disk, a journal's replay too."""
        fcntl.ioctl(self.file, _SET_READ_ONLY, struct.pack("i", int(wanted)))

    def forget_cache(self) -> None:
        """Read from the disk what is read next, not what it held when another node wrote it."""
        fcntl.ioctl(self.file, _FLUSH)

    def take_new_size(self, identity: Identity) -> None:
        """Let the kernel look how large the disk has become."""
        if isinstance(identity, LoopFile):
            loop.take_new_size(self.file)
        elif isinstance(identity, ScsiWwid | IscsiLun):
            self._rescan()

    def _rescan(self) -> None:
        """Have the kernel ask for the size, on every way to the disk if several are joined."""
        directory = (sysfs.SYSFS / "dev/block" / self.number).resolve()
        ways = list(directory.glob("slaves/*"))
        for way in ways or [directory]:
            (way / "device/rescan").write_text("1")
        if ways:
            multipath.resize(directory.name)


@contextmanager
def opened(device: Device, *, read_only: bool) -> Iterator[Disk]:
    """Find a device's disk, and hold it open inside the block: attach an image, log in to a target.

    Raises DeadlineExceeded if it does not appear, HostError if it is not what was asked for.
    """
    path, file = _open(device.identity, read_only=read_only)
    try:
        number = _number(file)
        disk = Disk(path, number, sysfs.sequence(number), file)
        _check(disk, device)
        if not isinstance(device.identity, LoopFile):
            disk.set_read_only(wanted=read_only)
        disk.forget_cache()
        yield disk
    finally:
        os.close(file)


def find(identity: Identity) -> str | None:
    """Return the path of the disk with an identity, or None; reads sysfs only, never waits."""
    if isinstance(identity, LoopFile):
        name = loop.name_of(identity.path)
    elif isinstance(identity, IscsiLun):
        name = iscsi.name_of(identity)
    else:
        name = sysfs.disk_of(identity)
    return f"/dev/{name}" if name else None


def _open(identity: Identity, *, read_only: bool) -> tuple[str, int]:
    if isinstance(identity, LoopFile):
        file = loop.attach(identity.path, read_only=read_only)
        return f"/dev/{sysfs.name(_number(file))}", file
    if isinstance(identity, IscsiLun):
        iscsi.connect(identity)
    with deadline(_APPEAR_S):
        wait_until(lambda: find(identity) is not None, f"the disk {identity} to appear")
    path = find(identity)
    if path is None:
        raise HostError(f"the disk {identity} vanished as soon as it had appeared; try again")
    try:
        return path, os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"the disk {path} cannot be opened: {error.strerror}") from error


def _check(disk: Disk, device: Device) -> None:
    """Look at the disk that is open, not at its name, which may mean another one by now."""
    if not isinstance(device.identity, LoopFile):
        found = find(device.identity)
        if found is None or sysfs.number(Path(found).name) != disk.number:
            raise HostError(
                f"{disk.path} is not the disk {device.identity} any more: nothing was touched; "
                "try again"
            )
    if not disk.size_bytes or disk.size_bytes < device.size_bytes:
        raise HostError(
            f"the disk {disk.path} shows {Size(disk.size_bytes)}, but the volume has "
            f"{Size(device.size_bytes)}: its backend shows it only in part, or its image was cut"
        )


def _number(file: int) -> str:
    status = os.fstat(file)
    if not stat.S_ISBLK(status.st_mode):
        raise HostError("what should be a disk is not a block device: look at /dev")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
