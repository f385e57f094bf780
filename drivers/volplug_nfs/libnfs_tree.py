"""A Tree on an NFS export through libnfs; run as a child process, never imported by a driver.

`python -m volplug_nfs.libnfs_tree SERVER EXPORT UID GID`, over NFSv3: libnfs speaks no 4.1, and
over 4.0 it cannot tell owners (backends-file 2.1). Where root is mapped to nobody, what programs
wrote into a deleted volume cannot be removed as the user that made the volume; but a client of NFS
says itself who it is, so directories in the trash are opened up as their owners (1.7).
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_void_p, create_string_buffer

from volplug.sdk import ENTRIES_AT_ONCE, Entry, Tree, Unavailable, serve_tree
from volplug.sdk import Space as TreeSpace
from volplug_nfs._libnfs import Mount, OutdatedError, Space, Stat

_DIRECTORY = 2  # ftype3 of RFC 1813, as READDIRPLUS gives it
_TRASH = ".volplug/trash/"
_REPLACEMENTS = 10


class LibnfsTree(Tree):
    """An export, as one user."""

    def __init__(self, server: str, export: str, uid: int, gid: int) -> None:
        self._place = (server, export)
        self._mount = Mount(server, export, uid, gid)
        self._as_others: dict[tuple[int, int], Mount] = {}

    def mkdir(self, path: str) -> None:
        """See Tree."""
        self._mount.call("nfs_mkdir", _bytes(path))

    def stat(self, path: str) -> Entry:
        """See Tree."""
        found = Stat()
        self._mount.call("nfs_lstat64", _bytes(path), byref(found))
        name, directory = path.rpartition("/")[2], found.mode & 0o170000 == 0o040000
        return Entry(name, directory, found.mode & 0o7777, found.uid, found.gid, found.size)

    def entries(self, path: str) -> list[Entry]:
        """See Tree."""
        if not self.stat(path).directory:  # libnfs crashes when it opens anything else
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        directory = c_void_p()
        self._opening_up(
            lambda: self._mount.call("nfs_opendir", _bytes(path), byref(directory)), path
        )
        try:
            return [self._entry(path, name, kind) for name, kind in self._listed(directory)]
        finally:
            self._mount.library.nfs_closedir(self._mount.context, directory)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """See Tree."""
        self._mount.call("nfs_lchown", _bytes(path), uid, gid)

    def chmod(self, path: str, mode: int) -> None:
        """See Tree."""
        self._mount.call("nfs_lchmod", _bytes(path), mode)

    def rename(self, old: str, new: str) -> None:
        """See Tree."""
        self._opening_up(lambda: self._mount.call("nfs_rename", _bytes(old), _bytes(new)), old)

    def rmdir(self, path: str) -> None:
        """See Tree."""
        self._opening_up(lambda: self._mount.call("nfs_rmdir", _bytes(path)), path)

    def unlink(self, path: str) -> None:
        """See Tree."""
        self._opening_up(lambda: self._mount.call("nfs_unlink", _bytes(path)), path)

    def statvfs(self, path: str) -> TreeSpace:
        """See Tree."""
        found = Space()
        self._mount.call("nfs_statvfs64", _bytes(path), byref(found))
        return TreeSpace(found.blocks * found.frsize, found.bavail * found.frsize)

    def write(self, path: str, text: str) -> None:
        """See Tree."""
        content = text.encode()
        if self.exists(path):  # libnfs creates without truncating
            self.unlink(path)
        try:
            with self._opened("nfs_creat", path, 0o600) as file:
                if content:
                    self._mount.once("nfs_write", file, *self._mount.sized(content, len(content)))
                self._mount.once("nfs_fsync", file)
        except OutdatedError as error:
            raise Unavailable(f"the NFS server gave {path} up: {error}") from None

    def read(self, path: str) -> str:
        """See Tree."""
        for _ in range(_REPLACEMENTS):
            try:
                return self._read(path)
            except OutdatedError:
                continue
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
        raise Unavailable(f"{path} is replaced faster than it can be read")

    def _read(self, path: str) -> str:
        size = self.stat(path).size_bytes
        buffer = create_string_buffer(size or 1)
        with self._opened("nfs_open", path, os.O_RDONLY) as file:
            order = self._mount.sized(buffer, size)
            count = self._mount.once("nfs_read", file, *order) if size else 0
        return buffer.raw[:count].decode()

    @contextmanager
    def _opened(self, function: str, path: str, how: int) -> Iterator[c_void_p]:
        """Lend an open file; OutdatedError, for no other connection can take it over."""
        file = c_void_p()
        self._mount.call(function, _bytes(path), how, byref(file))
        try:
            yield file
        finally:
            self._mount.library.nfs_close(self._mount.context, file)

    def _opening_up(self, work: Callable[[], int], path: str) -> None:
        """Do something to a path; in the trash, where we may not, once more with owners' help."""
        try:
            work()
        except PermissionError:
            if not path.startswith(_TRASH):
                raise
        else:
            return
        for directory in (path.rpartition("/")[0], path):
            with suppress(OSError):
                self._open_up(directory)
        work()

    def _open_up(self, path: str) -> None:
        """Let everybody into a deleted directory, as its owner."""
        found = self.stat(path)
        if found.directory:
            owner = (found.uid, found.gid)
            if owner not in self._as_others:
                self._as_others[owner] = Mount(*self._place, *owner)
            self._as_others[owner].call("nfs_lchmod", _bytes(path), 0o777)

    def _listed(self, directory: c_void_p) -> Iterator[tuple[str, int]]:
        count = 0
        readdir = self._mount.library.nfs_readdir
        while count < ENTRIES_AT_ONCE and (found := readdir(self._mount.context, directory)):
            name = found.contents.name
            if name not in (b".", b".."):
                count += 1
                yield name.decode("utf-8", "surrogateescape"), found.contents.type

    def _entry(self, path: str, name: str, kind: int) -> Entry:
        if kind == 0:  # the server did not say
            return self.stat(f"{path}/{name}")
        return Entry(name, kind == _DIRECTORY)


def _bytes(path: str) -> bytes:
    return b"/" if path == "." else b"/" + path.encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    server, export, uid, gid = sys.argv[1:]
    serve_tree(lambda: LibnfsTree(server, export, int(uid), int(gid)))
