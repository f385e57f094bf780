"""What differs between ext4, xfs and btrfs.

mkfs is never given -f or -F: without them mkfs.xfs and mkfs.btrfs refuse a disk that holds
something. mkfs.ext4 does not, when it has no terminal (backends-block 1.7), so that is only the
second line of defence behind `format`. A program that writes to the disk runs under a deadline of
its own, for one that is killed half way leaves what nobody can use.
"""

import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from volplug.command import run
from volplug.deadline import shielded
from volplug.errors import HostError, Unsupported
from volplug.linux import mounting, unmounting
from volplug.linux.disk import Disk
from volplug.linux.mountinfo import PROC, MountWatch
from volplug.linux.sysfs import SYSFS

_WRITING_S = 3600.0
_CAP_SYS_RESOURCE = 24
_BTRFS_LEAST_BYTES = 256 * 1024 * 1024


class Kind(ABC):
    """One kind of file system on a disk."""

    name: str
    mount_options: tuple[str, ...] = ()
    clone_options: tuple[str, ...] = ()
    """What it takes to mount a copy beside its origin, read only, as it is."""

    @abstractmethod
    def make(self, disk: Disk, uuid: str) -> None:
        """Run mkfs, on a disk that is known to be empty."""

    @abstractmethod
    def renew(self, disk: Disk, uuid: str, scratch: Path, watch: MountWatch) -> None:
        """Give a copy a UUID of its own. Repeating, after a crash too, is success."""

    def check(self, disk: Disk) -> None:  # noqa: B027  xfs and btrfs check themselves when mounted
        """Repair what can be repaired safely, before the disk is mounted; grow it if it is due."""

    @abstractmethod
    def grow(self, disk: Disk, mountpoint: Path) -> None:
        """Grow the mounted file system to its disk. Repeating is success."""

    def grow_on_mount(self, disk: Disk, mountpoint: Path) -> None:
        """Grow what was just mounted, for a crash may have come between disk and file system."""
        self.grow(disk, mountpoint)


class Ext4(Kind):
    """ext4, checked before each mount, which takes no time after a clean unmount."""

    name = "ext4"
    # If it cannot write its metadata it stops, instead of going on with what it lost.
    mount_options = ("errors=remount-ro",)

    def make(self, disk: Disk, uuid: str) -> None:
        """Format without reserved blocks; metadata_csum_seed makes a later new UUID quick."""
        extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
        feature = "metadata_csum_seed"
        argv = ["mkfs.ext4", "-q", "-m", "0", "-E", extended, "-O", feature, "-U", uuid, disk.path]
        _write(argv)

    def renew(self, disk: Disk, uuid: str, scratch: Path, watch: MountWatch) -> None:
        """Replay the journal, then write superblocks only: safe to kill at any moment."""
        del scratch, watch
        _fsck(disk)
        _write(["tune2fs", "-O", "metadata_csum_seed", disk.path])
        _write(["tune2fs", "-U", uuid, disk.path])

    def check(self, disk: Disk) -> None:
        """Run fsck, and grow now if the disk is larger: offline that needs no capability."""
        _fsck(disk)
        if _ext4_room(disk):
            _fsck(disk, "-f")
            _write(["resize2fs", disk.path])

    def grow(self, disk: Disk, mountpoint: Path) -> None:
        """Grow online, which the kernel allows only with CAP_SYS_RESOURCE."""
        del mountpoint
        if not _ext4_room(disk):
            return
        if not _has_capability(_CAP_SYS_RESOURCE):
            raise Unsupported(
                "ext4 cannot grow while it is mounted, because volplug lacks CAP_SYS_RESOURCE: "
                "give it that capability; or stop the volume's containers, and it grows when the "
                "volume is mounted next"
            )
        _write(["resize2fs", disk.path])

    def grow_on_mount(self, disk: Disk, mountpoint: Path) -> None:
        """Do nothing: `check` has done it."""


class Xfs(Kind):
    """xfs, which replays its own log and needs no checking."""

    name = "xfs"
    clone_options = ("nouuid",)

    def make(self, disk: Disk, uuid: str) -> None:
        """Format without discarding."""
        _write(["mkfs.xfs", "-q", "-K", "-m", f"uuid={uuid}", disk.path])

    def renew(self, disk: Disk, uuid: str, scratch: Path, watch: MountWatch) -> None:
        """Mount once to replay the log, without which xfs_admin refuses, then change the UUID."""
        mounting.mount_disk(disk.path, self.name, scratch, "nouuid,nosuid,nodev", watch)
        unmounting.unmount(scratch, watch)
        _write(["xfs_admin", "-U", uuid, disk.path])

    def grow(self, disk: Disk, mountpoint: Path) -> None:
        """Grow online."""
        del disk
        _write(["xfs_growfs", "-d", mountpoint])


class Btrfs(Kind):
    """btrfs on one disk."""

    name = "btrfs"

    def make(self, disk: Disk, uuid: str) -> None:
        """Format without discarding."""
        _write(["mkfs.btrfs", "-q", "-K", "-U", uuid, disk.path])

    def renew(self, disk: Disk, uuid: str, scratch: Path, watch: MountWatch) -> None:
        """Change the UUID in the superblock only, which is one write: all or nothing.

        It is not repeated, for btrfstune refuses a UUID that it has seen, be it on this very disk.
        What was fsynced before a crash, or a copy under way, stands in a log that btrfstune makes
        worthless (measured: the mount then fails), so that is replayed first.
        """
        found = run(["blkid", "-p", "-o", "value", "-s", "UUID", disk.path]).stdout.strip()
        if found == uuid:
            return
        if _btrfs_has_log(disk):
            if (SYSFS / "fs/btrfs" / found).exists():
                raise HostError(
                    f"{disk.path} is a copy of a btrfs that was in use and is mounted here now, and"
                    " the kernel would take the two for one: unmount the origin, or mount the copy"
                    " on another machine first"
                )
            _write(["btrfs", "device", "scan", "--forget"])  # or the origin's place is remembered
            mounting.mount_disk(disk.path, self.name, scratch, "nosuid,nodev", watch)
            unmounting.unmount(scratch, watch)
        _write(["btrfstune", "-M", uuid, disk.path])

    def grow(self, disk: Disk, mountpoint: Path) -> None:
        """Grow online; the kernel resizes nothing below 256 MiB."""
        if not _btrfs_room(disk):
            return
        _write(["btrfs", "filesystem", "resize", "max", mountpoint])


KINDS: dict[str, Kind] = {kind.name: kind for kind in (Ext4(), Xfs(), Btrfs())}


def kind_of(fstype: str) -> Kind:
    """Return a kind of file system; raise Unsupported that lists them."""
    try:
        return KINDS[fstype]
    except KeyError:
        known = ", ".join(sorted(KINDS))
        raise Unsupported(f"no file system {fstype!r} for disks here (known: {known})") from None


def _fsck(disk: Disk, *more: str) -> None:
    """Run e2fsck; 0 to 2 mean that all is well or was mended, 4 that a person must decide."""
    with shielded(_WRITING_S):
        result = run(["fsck.ext4", "-p", *more, disk.path], expect=range(256))
    if result.code > 2:
        raise HostError(
            f"the file system on {disk.path} is damaged, and fsck would have to guess (code "
            f"{result.code}: {result.words}): copy the disk, run `fsck.ext4 {disk.path}` by hand, "
            "then try again"
        )


def _write(argv: Sequence[str | os.PathLike[str]]) -> None:
    with shielded(_WRITING_S):
        run(argv)


def _ext4_room(disk: Disk) -> bool:
    """Whether the disk has room for one more block group; a smaller rest stays unused anyway."""
    disk.forget_cache()
    block = os.pread(disk.file, 1024, 1024)
    low, log_size, per_group, high = (
        struct.unpack_from("<I", block, offset)[0] for offset in (4, 24, 32, 0x150)
    )
    block_bytes = 1024 << log_size
    used_bytes = ((high << 32) | low) * block_bytes
    return bool(disk.size_bytes - used_bytes >= per_group * block_bytes)


def _btrfs_has_log(disk: Disk) -> bool:
    """Whether there is something to replay: the superblock's pointer to the log is set."""
    disk.forget_cache()
    return any(os.pread(disk.file, 8, 0x10060))


def _btrfs_room(disk: Disk) -> bool:
    """Whether the disk is larger than the superblock says, and large enough to resize at all."""
    disk.forget_cache()
    total_bytes = struct.unpack("<Q", os.pread(disk.file, 8, 0x10070))[0]
    return bool(disk.size_bytes - total_bytes >= 4096 and disk.size_bytes >= _BTRFS_LEAST_BYTES)


def _has_capability(number: int) -> bool:
    for line in (PROC / "self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
