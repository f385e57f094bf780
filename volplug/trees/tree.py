"""The seam to a directory tree on some server: eleven verbs, enough to give volumes directories.

Only the last part of a path is ever somebody else's choice, and no verb follows it when it is a
symlink: that is what keeps every caller inside its tree (subdirectory.py has the layout). Failures
of a file are OSErrors with an errno, as from `os`; failures of the server are the classes of
errors.py.
"""

import errno
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass

ENTRIES_AT_ONCE = 1000
"""How many entries `entries` returns at most."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory, as lstat tells it; `mode` is the permission bits alone."""

    name: str
    directory: bool
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system says of itself at one directory."""

    total_bytes: int
    available_bytes: int


class Tree(ABC):
    """A directory tree. Paths are relative to its root, such as `v/data`; `.` is the root."""

    @abstractmethod
    def mkdir(self, path: str) -> None:
        """Make a directory; of several callers exactly one succeeds, the others get EEXIST."""

    @abstractmethod
    def stat(self, path: str) -> Entry:
        """Look at a path, never through a symlink at its end."""

    @abstractmethod
    def entries(self, path: str) -> list[Entry]:
        """List a directory in no order, its first ENTRIES_AT_ONCE entries if it has more.

        Name and kind are right; the other fields may be zero.
        """

    @abstractmethod
    def chown(self, path: str, uid: int, gid: int) -> None:
        """Set the owner. A server may report success and do nothing: look afterwards."""

    @abstractmethod
    def chmod(self, path: str, mode: int) -> None:
        """Set the permission bits. The path is a directory or file of our own, never a symlink."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Move a name within the tree, in one step; whatever file stood at `new` is replaced."""

    @abstractmethod
    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""

    @abstractmethod
    def unlink(self, path: str) -> None:
        """Remove anything that is not a directory."""

    @abstractmethod
    def statvfs(self, path: str) -> Space:
        """Say how large the file system is there, and how much of it is available."""

    @abstractmethod
    def write(self, path: str, text: str) -> None:
        """Write a small file of our own, durably; one that is there may be missing for a moment."""

    @abstractmethod
    def read(self, path: str) -> str:
        """Read a small file of our own."""

    def exists(self, path: str) -> bool:
        """Say whether something is there."""
        try:
            self.stat(path)
        except FileNotFoundError:
            return False
        return True


def inside(path: str) -> str:
    """Return the path if it can only name something in the tree; raise EINVAL otherwise."""
    if path == ".":
        return path
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise OSError(errno.EINVAL, "the path could leave the tree", path)
    if any(len(os.fsencode(part)) > 255 for part in path.split("/")):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    return path
