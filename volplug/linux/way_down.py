"""From a directory back to nothing, from the node's own record and the kernel's own list.

An unmounted file system may live on in another mount namespace, where it goes on writing to its
disk: so the disk counts as free only when no namespace shows it, and a loop device only when sysfs
says so (`losetup -d` on a busy one reports success and does nothing; backends-block 1.8 and 8).
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from volplug.command import run
from volplug.crashpoint import crashpoint
from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded, HostError
from volplug.linux import iscsi, loop, mountpoint, superblock, sysfs, unmounting
from volplug.linux.footprint import Footprint, holders, is_shown
from volplug.linux.mountinfo import MountWatch
from volplug.linux.presence import Directories
from volplug.linux.record import Mounted
from volplug.source import Device, IscsiLun, LoopFile, Share, Source

_log = logging.getLogger(__name__)

_RELEASE_S = 10.0
"""How long the kernel may take to let a file system go after its last unmount."""


def unmount(directories: Directories, watch: MountWatch) -> None:
    """Unmount what lies on a volume's two directories. Nothing there is success."""
    if watch.now().at(directories.filesystem) is not None:
        _flush(directories)
    unmounting.unmount_share(directories.handed_out, watch)
    crashpoint("unstage.unbound")
    unmounting.unmount(directories.filesystem, watch)
    crashpoint("unstage.unmounted")


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a volume to be freed once it is unmounted, noted while it was mounted."""

    source: Source
    footprint: Footprint | None
    mounted: Mounted | None

    def free(self, directories: Directories, watch: MountWatch) -> None:
        """Let go of the disk below what was unmounted, and remove the empty directories.

        Raises HostError, naming who, while any namespace has its file system mounted, and while
        the kernel keeps a share that is mounted nowhere, to which it may still write.
        """
        if isinstance(self.source, Device):
            if self.footprint is not None:
                _wait_unmounted(self.footprint, watch)
            if isinstance(self.source.identity, LoopFile) and self.mounted is not None:
                _free_loop(self.mounted, self.source.identity.path)
            if isinstance(self.source.identity, IscsiLun):
                iscsi.disconnect(self.source.identity)
            crashpoint("unstage.detached")
        elif self.footprint is not None:
            _wait_released(self.footprint, self.source, watch)
        for path in (directories.handed_out, directories.filesystem):
            mountpoint.remove(path)
        crashpoint("unstage.removed")


def _flush(directories: Directories) -> None:
    """Write back while errors can still be told; the unmount writes back too, but silently."""
    try:
        run(["sync", "-f", "--", directories.filesystem])
    except HostError as error:
        _log.warning("path=%s data was lost: %s", directories.filesystem, error)


def _wait_unmounted(footprint: Footprint, watch: MountWatch) -> None:
    try:
        with deadline(_RELEASE_S):
            wait_until(lambda: not holders(footprint, watch.now()), "the file system to be free")
    except DeadlineExceeded:
        left = holders(footprint, watch.now())
        if left:
            raise HostError(
                f"the volume is unmounted, but its disk is not free: it is still {left[0]}, which "
                "keeps an old copy of this machine's mounts; end or restart that, then try again"
            ) from None


def _wait_released(footprint: Footprint, share: Share, watch: MountWatch) -> None:
    """Wait until the kernel has let a share go, unless others have the same one mounted."""

    def is_released() -> bool:
        return not superblock.lives(footprint.device) or is_shown(footprint.device, watch.now())

    try:
        with deadline(_RELEASE_S):
            wait_until(is_released, "the share to be released")
    except DeadlineExceeded:
        raise HostError(
            f"the volume is unmounted, but the kernel has not let {share.source} go, to which it "
            "may still write: the volume stays with this node until the server answers again, or "
            "this machine restarts"
        ) from None


def _free_loop(mounted: Mounted, image: Path) -> None:
    """Wait until the loop device is free, and free one that does not free itself."""
    number, sequence = mounted.disk, mounted.disk_sequence

    def is_free() -> bool:
        return not loop.is_attached(number) or sysfs.sequence(number) != sequence

    if is_free():
        return
    loop.detach(number, sequence)
    try:
        with deadline(_RELEASE_S):
            wait_until(is_free, "the loop device to be free")
    except DeadlineExceeded:
        path = f"/dev/{sysfs.name(number)}"
        raise HostError(
            f"the volume is unmounted, but {path} still has the image {image}: "
            f"`fuser -v {path}` shows who has it open; end that, then try again"
        ) from None
