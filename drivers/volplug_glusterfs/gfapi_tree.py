"""A Tree on a Gluster volume through libgfapi; run as a child process, never imported by a driver.

`python -m volplug_glusterfs.gfapi_tree VOLUME PING_TIMEOUT_S SERVER...`. The one glfs handle is
never closed: glfs_fini takes ten seconds, so the process just ends.
"""

import ctypes
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, byref, c_void_p
from typing import Any

from volplug.sdk import ENTRIES_AT_ONCE, Entry, Space, Tree, Unavailable, serve_tree
from volplug_glusterfs._libgfapi import Dirent, Stat, StatVfs, library

_PORT = 24007
_LOOKUPS = 5
_PAUSES_S = (0.001, 0.002, 0.005, 0.01, 0.02)
Options = Sequence[tuple[str, str, str]]
# Whoever looks must see what other nodes did, not what was there a second ago.
_FRESH: Options = (("*-md-cache", "md-cache-timeout", "0"),)
_DT_DIR, _DT_UNKNOWN = 4, 0


class GfapiTree(Tree):
    """The root of a Gluster volume, through one glfs handle that is never closed."""

    def __init__(
        self, volume: str, ping_timeout_s: int, servers: list[str], options: Options = _FRESH
    ) -> None:
        """Connect; `options` are for the translators of the client, as `glfs` takes them."""
        self._lib = library()
        self._volume = volume
        self._fs = c_void_p(self._lib.glfs_new(volume.encode()))
        for server in servers:
            self._lib.glfs_set_volfile_server(self._fs, b"tcp", server.encode(), _PORT)
        self._lib.glfs_set_logging(self._fs, b"/dev/null", 0)
        for option in (("*-client-*", "ping-timeout", str(ping_timeout_s)), *options):
            self._lib.glfs_set_xlator_option(self._fs, *map(str.encode, option))
        if self._lib.glfs_init(self._fs) != 0:
            words = os.strerror(ctypes.get_errno())
            raise Unavailable(
                f"the Gluster volume {volume!r} cannot be reached through {', '.join(servers)} "
                f"({words}): check that it exists, is started and allows this machine"
            )

    def mkdir(self, path: str) -> None:
        """See Tree."""
        self._do("glfs_mkdir", _bytes(path), 0o755)

    def stat(self, path: str) -> Entry:
        """See Tree."""
        found = Stat()
        self._do("glfs_lstat", _bytes(path), byref(found))
        return Entry(
            path.rpartition("/")[2],
            stat.S_ISDIR(found.mode),
            stat.S_IMODE(found.mode),
            found.uid,
            found.gid,
            found.size,
        )

    def entries(self, path: str) -> list[Entry]:
        """See Tree."""
        if not self.stat(path).directory:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        directory = c_void_p(self._pointer("glfs_opendir", _bytes(path)))
        try:
            return [self._entry(path, name, kind) for name, kind in self._listed(directory)]
        finally:
            self._lib.glfs_closedir(directory)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """See Tree."""
        self._do("glfs_lchown", _bytes(path), uid, gid)

    def chmod(self, path: str, mode: int) -> None:
        """See Tree."""
        self._do("glfs_chmod", _bytes(path), mode)

    def rename(self, old: str, new: str) -> None:
        """See Tree.

        With quotas a brick asks for a directory's size before it moves it to another one, gets none
        when the others are faster, and leaves it behind: 24 times in 5,000 (10.3, quota.c). A look
        at both names heals that. After the moved directory is deleted nothing does, and whoever
        makes the name again waits for a minute.
        """
        if old.rpartition("/")[0] == new.rpartition("/")[0]:
            self._do("glfs_rename", _bytes(old), _bytes(new))
            return
        for _ in range(_LOOKUPS):
            moved = self._move(old, new)
            self.exists(old)
            if self.exists(new) or moved:
                return
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def _move(self, old: str, new: str) -> bool:
        """Rename; say False if it was refused as when most bricks got no size."""
        try:
            self._do("glfs_rename", _bytes(old), _bytes(new))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
        return True

    def rmdir(self, path: str) -> None:
        """See Tree."""
        self._do("glfs_rmdir", _bytes(path))

    def unlink(self, path: str) -> None:
        """See Tree."""
        self._do("glfs_unlink", _bytes(path))

    def statvfs(self, path: str) -> Space:
        """See Tree."""
        found = StatVfs()
        self._do("glfs_statvfs", _bytes(path), byref(found))
        return Space(found.blocks * found.frsize, found.bavail * found.frsize)

    def write(self, path: str, text: str) -> None:
        """See Tree."""
        content = text.encode()
        flags = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW
        file = c_void_p(self._pointer("glfs_creat", _bytes(path), flags, 0o600))
        try:
            if content:
                self._check(self._lib.glfs_write(file, content, len(content), 0))
            self._check(self._lib.glfs_fsync(file, None, None))
        finally:
            self._lib.glfs_close(file)

    def read(self, path: str) -> str:
        """See Tree."""
        for pause_s in _PAUSES_S:  # while a file is replaced, Gluster may find none for a moment
            try:
                return self._read(path)
            except OSError as error:
                if error.errno not in (errno.ESTALE, errno.ENOENT):
                    raise
            time.sleep(pause_s)
        return self._read(path)

    def _read(self, path: str) -> str:
        size = self.stat(path).size_bytes
        file = c_void_p(self._pointer("glfs_open", _bytes(path), os.O_RDONLY | os.O_NOFOLLOW))
        buffer = ctypes.create_string_buffer(size or 1)
        try:
            count = self._check(self._lib.glfs_read(file, buffer, size, 0)) if size else 0
        finally:
            self._lib.glfs_close(file)
        return buffer.raw[:count].decode()

    def _do(self, function: str, *arguments: Any) -> int:
        return self._check(self._fresh(lambda: getattr(self._lib, function)(self._fs, *arguments)))

    def _pointer(self, function: str, *arguments: Any) -> int:
        def call() -> int:
            return getattr(self._lib, function)(self._fs, *arguments) or -1

        return self._check(self._fresh(call))

    def _fresh(self, call: Callable[[], int]) -> int:
        """Call again when the path was replaced between its lookup and its use (ESTALE)."""
        for _ in range(_LOOKUPS - 1):
            code = call()
            if code >= 0 or ctypes.get_errno() != errno.ESTALE:
                return code
        return call()

    def _check(self, code: int) -> int:
        """Raise OSError for a file's failure, Unavailable for the volume's."""
        if code >= 0:
            return code
        number = ctypes.get_errno()
        if number in (errno.ENOTCONN, errno.EIO, errno.ETIMEDOUT, errno.ESHUTDOWN):
            raise Unavailable(
                f"the Gluster volume {self._volume!r} does not answer ({os.strerror(number)}): "
                "too few of its bricks are up; see `gluster volume status`"
            )
        raise OSError(number, os.strerror(number))

    def _listed(self, directory: c_void_p) -> Iterator[tuple[str, int]]:
        count, place, found = 0, Dirent(), POINTER(Dirent)()
        while count < ENTRIES_AT_ONCE:
            self._check(self._lib.glfs_readdir_r(directory, byref(place), byref(found)))
            if not found:
                return
            if place.name not in (b".", b".."):
                count += 1
                yield place.name.decode("utf-8", "surrogateescape"), place.type

    def _entry(self, path: str, name: str, kind: int) -> Entry:
        if kind == _DT_UNKNOWN:
            return self.stat(f"{path}/{name}")
        return Entry(name, kind == _DT_DIR)


def _bytes(path: str) -> bytes:
    return b"/" if path == "." else b"/" + path.encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    volume, ping_timeout_s, *servers = sys.argv[1:]
    serve_tree(lambda: GfapiTree(volume, int(ping_timeout_s), servers))
