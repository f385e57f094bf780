"""The directory under a mount, which nobody may ever write to.

A client that the server fenced, or a crashed FUSE daemon, unmounts itself; the next writer would
land in the node's own root file system. So the directory has mode 0000 and, where the file system
has flags, the immutable one, which even root's `touch` respects (backends-file 1.4).
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from volplug.errors import HostError

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_IMMUTABLE = 0x10  # FS_IMMUTABLE_FL
_OPEN_TREE, _AT_FDCWD, _OPEN_TREE_CLONE = 428, -100, 1  # open_tree(2), one number everywhere


def make(path: Path) -> None:
    """Make the directory if need be, and close it against writers; nothing may be mounted there.

    Raises HostError, and changes nothing, if it holds files: mounting would hide them.
    """
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0)
    except FileExistsError:
        if any(path.iterdir()):
            raise HostError(
                f"{path} holds files although nothing is mounted there, and mounting would hide "
                "them: move them away, then try again"
            ) from None
    _set_immutable(path, wanted=True)


def remove(path: Path) -> None:
    """Remove the directory, on which nothing is mounted any more. Already gone is success.

    Raises HostError if it holds files: nothing is ever removed with them.
    """
    try:
        _set_immutable(path, wanted=False)
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(
            f"the mountpoint {path} cannot be removed ({error.strerror}): look what is there"
        ) from error


def give_up(mount_dir: Path) -> None:
    """Let the engine remove a managed plugin's mountpoints, mounted on or not; `make` closes them.

    It unmounts them when it disables the plugin, and deletes them with it: over an immutable one
    `docker plugin rm` fails half way, with the plugin's programs gone and its name taken. Where the
    kernel cannot show what lies below a mount (before 5.2), all stays as it is.
    """
    for directory in (mount_dir, mount_dir / ".devices"):
        with suppress(OSError), _without_mounts(directory) as bare:
            for entry in os.scandir(bare):
                _set_immutable(Path(entry.name), wanted=False, below=bare)


@contextmanager
def _without_mounts(directory: Path) -> Iterator[int]:
    """Open a copy of a directory in which nothing is mounted; raise OSError if there is none."""
    words = (_AT_FDCWD, os.fsencode(directory), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    tree = ctypes.CDLL(None, use_errno=True).syscall(_OPEN_TREE, *words)
    if tree < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(directory))
    try:
        bare = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=tree)
        try:
            yield bare
        finally:
            os.close(bare)
    finally:
        os.close(tree)


def _set_immutable(path: Path, *, wanted: bool, below: int | None = None) -> None:
    """Set or clear the flag, or leave it where the file system or our rights have none."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=below)
    try:
        flags = struct.unpack("l", fcntl.ioctl(directory, _GET_FLAGS, bytes(8)))[0]
        changed = flags | _IMMUTABLE if wanted else flags & ~_IMMUTABLE
        if changed != flags:
            fcntl.ioctl(directory, _SET_FLAGS, struct.pack("l", changed))
    except OSError:
        return
    finally:
        os.close(directory)
