"""Image files below one directory descriptor: made whole, named last, and never cut short."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from volplug.sdk import HostError, Unsupported

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CANNOT = (errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EISDIR)


def size_bytes(root: int, entry: str) -> int | None:
    """Return the size of an image, or None if there is none; HostError if it is no plain file."""
    try:
        found = os.stat(entry, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise HostError(f"{entry} is in the way among the images: it is not a plain file")
    return found.st_size


@contextlib.contextmanager
def nameless(root: int) -> Iterator[int]:
    """Give the block an empty image that vanishes unless it gets a name, even in a crash."""
    try:
        image = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=root)
    except OSError as error:
        if error.errno in _CANNOT:
            raise Unsupported(
                "the file system of the images cannot make files without a name: "
                "put the root on ext4, xfs, btrfs or tmpfs"
            ) from error
        raise
    try:
        yield image
    finally:
        os.close(image)


@contextlib.contextmanager
def opened(root: int, entry: str) -> Iterator[int]:
    """Give the block an image that has a name."""
    image = os.open(entry, os.O_RDWR | os.O_NOFOLLOW, dir_fd=root)
    try:
        yield image
    finally:
        os.close(image)


def name(root: int, image: int, entry: str) -> None:
    """Give a nameless image its name. If another process was faster, its image stays."""
    with contextlib.suppress(FileExistsError):
        # dst_dir_fd is what makes Python follow the link in /proc, as open(2) describes.
        os.link(f"/proc/self/fd/{image}", entry, dst_dir_fd=root, follow_symlinks=True)


def grow(image: int, size: int, *, thin: bool) -> None:
    """Make an image at least `size` bytes large, on the disk; on failure it is as it was."""
    present = os.fstat(image).st_size
    if size > present:
        try:
            if thin:
                os.ftruncate(image, size)
            else:
                os.posix_fallocate(image, present, size - present)
        except OSError:
            os.ftruncate(image, present)
            raise
    os.fsync(image)


def share(origin: int, image: int, place: Path) -> None:
    """Fill an image with the blocks of another one; Unsupported where files cannot share any."""
    try:
        os.fsync(origin)
        fcntl.ioctl(image, _FICLONE, origin)
    except OSError as error:
        if error.errno in _CANNOT:
            raise Unsupported(
                f"the file system of {place} cannot share blocks between files: put the images on "
                "xfs or btrfs, or make an empty volume and copy the files"
            ) from error
        raise


def remove(root: int, entry: str) -> None:
    """Remove an image. Already gone is success."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(entry, dir_fd=root)


def promised_bytes(root: int) -> int:
    """Return how much the images may still grow by without asking: the holes in all of them."""
    found = [
        os.stat(entry, dir_fd=root, follow_symlinks=False)
        for entry in os.listdir(root)
        if not entry.startswith(".")
    ]
    return sum(max(0, image.st_size - image.st_blocks * 512) for image in found)


def devices(path: Path) -> list[str]:
    """List the loop devices of this node that have the image, as the kernel tells it."""
    backing = str(path.resolve())
    holding = []
    for shown in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # detached meanwhile
            if shown.read_text().rstrip("\n") == backing:
                holding.append(f"/dev/{shown.parts[3]}")
    return holding
