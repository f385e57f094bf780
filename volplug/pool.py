"""A directory of this node whose entries are volumes, for the drivers that keep them in one.

Two facts shape it. A disk that is not mounted looks like an empty directory, so "already gone" may
only be believed in the very directory that the volume was made in: each pool has an id of its own,
and handles are derived from it. And names that were used as paths, or parsed back out of paths,
have led deletions out of the tree in more than one storage driver (backends-file 1.6): a handle is
a lookup key here, opaque, one path component long, and checked on every use.
"""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from volplug.errors import (
    AccessDenied,
    Exhausted,
    HostError,
    Unavailable,
    VolplugError,
    VolumeInUse,
)
from volplug.options import Size
from volplug.volume import Volume

_ID = ".pool"

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_AWAY = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ENODEV)


class Pool:
    """The directory `root`, worked in through a file descriptor, so that nothing leads out of it.

    Entries that start with a dot are the drivers' own; a handle never does.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @contextmanager
    def opened(self, *, make: bool = False) -> Iterator[int]:
        """Give the block a descriptor of the directory, made first if `make` says so.

        An OSError in the block comes out as the class of `volplug.errors` that it stands for.
        """
        try:
            if make:
                self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
            fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                yield fd
            finally:
                os.close(fd)
        except OSError as error:
            raise _refusal(error, self.root) from error

    def handle(self, fd: int, name: str) -> str:
        """Return the handle of a name: the same in every process, another one in every pool."""
        digest = hashlib.sha256(f"{_pool_id(fd)}/{name}".encode()).hexdigest()
        readable = re.sub(r"[^A-Za-z0-9_.-]", "_", name[:40]).lstrip(".-")
        return f"{readable}-{digest[:12]}"

    def check(self, fd: int, volume: Volume[Any]) -> str:
        """Return a volume's handle if this pool gave it that one; raise Unavailable otherwise."""
        handle = self.handle(fd, volume.name)
        if volume.handle != handle:
            raise Unavailable(
                f"volume {volume.name!r} is not one of {self.root} on this node: it was made on "
                "another node, or the disk of that directory is not mounted"
            )
        return handle

    def free(self, fd: int) -> Size:
        """Return how many bytes can still be written."""
        room = os.fstatvfs(fd)
        return Size(room.f_bavail * room.f_frsize)


def _pool_id(fd: int) -> str:
    """Read the pool's id; choose one first, which exactly one of several processes does.

    It is the target of a symbolic link that leads nowhere: the one kind of entry that comes into
    being together with its content, so that no crash leaves half of it.
    """
    try:
        return os.readlink(_ID, dir_fd=fd)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.symlink(secrets.token_hex(8), _ID, dir_fd=fd)
        os.fsync(fd)
    return os.readlink(_ID, dir_fd=fd)


def _refusal(error: OSError, root: Path) -> VolplugError:
    words = error.strerror or str(error)
    if error.errno in _FULL:
        room = os.statvfs(root)
        free = Size(room.f_bavail * room.f_frsize)
        return Exhausted(f"{root} has no room for it ({free} free): {words}; delete volumes there")
    if error.errno in _FORBIDDEN:
        return AccessDenied(f"{root} cannot be changed: {words}; volplug needs to be its owner")
    if error.errno in _AWAY:
        return Unavailable(f"{root} is not there: {words}; is its disk mounted?")
    if error.errno == errno.EBUSY:
        return VolumeInUse(f"something is mounted in {root}: {words}; unmount it first")
    return HostError(f"{root}: {words}")
