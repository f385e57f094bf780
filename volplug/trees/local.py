"""A Tree in a directory of this machine: a mounted share, or a test's own disk.

`python -m volplug.trees.local DIRECTORY` serves one to a RemoteTree: the way to provision servers
that no user-space library can speak to (NFSv4.1 only, Kerberos), through a mount that the operator
made. It runs in a child, for any call on a network mount can hang for ever (backends-file 1.2).
"""

import os
import stat
import sys
import weakref
from pathlib import Path

from volplug.trees.remote import serve_tree
from volplug.trees.tree import ENTRIES_AT_ONCE, Entry, Space, Tree, inside


class LocalTree(Tree):
    """The tree below a directory, walked from one descriptor without following any symlink."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._root)

    def mkdir(self, path: str) -> None:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            os.mkdir(name, dir_fd=parent)

    def stat(self, path: str) -> Entry:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            return _entry(name, os.lstat(name, dir_fd=parent))

    def entries(self, path: str) -> list[Entry]:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            with os.scandir(directory) as found:
                return [
                    Entry(one.name, one.is_dir(follow_symlinks=False))
                    for one, _ in zip(found, range(ENTRIES_AT_ONCE), strict=False)
                ]
        finally:
            os.close(directory)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)

    def chmod(self, path: str, mode: int) -> None:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """See Tree."""
        with _Parent(self._root, old) as (source, name), _Parent(self._root, new) as (target, to):
            os.rename(name, to, src_dir_fd=source, dst_dir_fd=target)

    def rmdir(self, path: str) -> None:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            os.rmdir(name, dir_fd=parent)

    def unlink(self, path: str) -> None:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def statvfs(self, path: str) -> Space:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            directory = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            found = os.fstatvfs(directory)
        finally:
            os.close(directory)
        return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def write(self, path: str, text: str) -> None:
        """See Tree."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with _Parent(self._root, path) as (parent, name):
            descriptor = os.open(name, flags, 0o600, dir_fd=parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)

    def read(self, path: str) -> str:
        """See Tree."""
        with _Parent(self._root, path) as (parent, name):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
        with os.fdopen(descriptor) as file:
            return file.read()


class _Parent:
    """The directory that holds a path's last component, opened one step at a time."""

    def __init__(self, root: int, path: str) -> None:
        self._opened = [root]
        *self._above, self._name = inside(path).split("/")

    def __enter__(self) -> tuple[int, str]:
        for part in self._above:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                self._opened.append(os.open(part, flags, dir_fd=self._opened[-1]))
            except OSError:
                self.__exit__()
                raise
        return self._opened[-1], self._name

    def __exit__(self, *_: object) -> None:
        for descriptor in self._opened[1:]:
            os.close(descriptor)


def _entry(name: str, found: os.stat_result) -> Entry:
    mode = stat.S_IMODE(found.st_mode)
    directory = stat.S_ISDIR(found.st_mode)
    return Entry(name, directory, mode, found.st_uid, found.st_gid, found.st_size)


if __name__ == "__main__":
    serve_tree(lambda: LocalTree(Path(sys.argv[1])))
