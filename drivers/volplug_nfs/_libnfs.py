"""libnfs through ctypes: loaded, declared, and one mount as one user.

The library is the one that the `libnfs` package from PyPI was built against if it is installed,
else the system's. That package's own classes are not used, for they ignore a failed mount and hang
for ever in the next call, crash on misuse and swallow errors (backends-file 2.1). The structures
below are the same in every libnfs from 4.0 to 7.0; only read and write changed, in their order of
arguments.
"""

import ctypes
import errno
import importlib.util
import re
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, NoReturn

from volplug.sdk import AccessDenied, Unavailable, Unsupported

_SONAMES = ("libnfs.so.13", "libnfs.so.14", "libnfs.so.16", "libnfs.so.17")
_READ_AND_WRITE_CHANGED = ("libnfs.so.16", "libnfs.so.17")
_REPLY_TIMEOUT_MS = 5_000


def _numbers(names: str) -> list[tuple[str, type[c_uint64]]]:
    return [(name, c_uint64) for name in names.split()]


class Stat(ctypes.Structure):
    _fields_ = _numbers(
        "dev ino mode nlink uid gid rdev size blksize blocks atime mtime ctime "
        "atime_nsec mtime_nsec ctime_nsec used"
    )


class Space(ctypes.Structure):
    _fields_ = _numbers("bsize frsize blocks bfree bavail files ffree favail fsid flag namemax")


class Dirent(ctypes.Structure):
    """The first fields, which are all that is read."""


Dirent._fields_ = [
    ("next", POINTER(Dirent)),
    ("name", c_char_p),
    ("inode", c_uint64),
    ("type", c_uint32),
    ("mode", c_uint32),
]


class OutdatedError(Exception):
    """A handle that the server no longer takes."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(words)
        self.number = number


def _nothing() -> None:
    """Repair nothing: a path that was replaced is looked up anew by itself."""


class Mount:
    """An export that one libnfs context has mounted as one user, over NFSv3."""

    def __init__(self, server: str, export: str, uid: int, gid: int) -> None:
        self.library, self._new_order = _library()
        self.server, self._export, self._uid, self._gid = server, export, uid, gid
        self.context = c_void_p()
        self._connect()

    def call(self, function: str, *arguments: Any) -> int:
        """Call the library; raise OSError for a file's failure, Unavailable for the server's."""
        for repair in (_nothing, self._connect):
            try:
                return self.once(function, *arguments)
            except OutdatedError:
                repair()
        try:
            return self.once(function, *arguments)
        except OutdatedError as error:
            if error.number == errno.ESTALE:
                raise OSError(error.number, str(error)) from None
            raise AccessDenied(f"the NFS server {self.server} refuses us: {error}") from None

    def once(self, function: str, *arguments: Any) -> int:
        """Call the library as `call` does, for what belongs to this connection alone.

        Raises OutdatedError where that is no longer good.
        """
        code = int(getattr(self.library, function)(self.context, *arguments))
        if code >= 0:
            return code
        words = self._words()
        # A file was replaced; or libnfs, which mounts the exports below ours as well, goes on using
        # a handle of one that was taken from us or removed, where ours alone would do. EFAULT is
        # its word for a call that the server did not carry out at all.
        if -code in (errno.ESTALE, errno.EFAULT):
            raise OutdatedError(-code, words)
        # EIO and EINTR: the connection is dead or late, and this context is dead for good.
        if -code in (errno.EIO, errno.EINTR, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE):
            raise Unavailable(f"the NFS server {self.server} does not answer: {words}")
        raise OSError(-code, words)

    def sized(self, buffer: Any, size: int) -> tuple[Any, Any]:
        """Return a buffer and its size in the order that this library's read and write want."""
        return (buffer, size) if self._new_order else (size, buffer)

    def _connect(self) -> None:
        """Mount the export in a new context, in place of the old one if there is one."""
        library = self.library
        if self.context:
            library.nfs_destroy_context(self.context)
        self.context = c_void_p(library.nfs_init_context())
        library.nfs_set_uid(self.context, self._uid)
        library.nfs_set_gid(self.context, self._gid)
        library.nfs_set_version(self.context, 3)
        library.nfs_set_timeout(self.context, _REPLY_TIMEOUT_MS)
        library.nfs_set_tcp_syncnt(self.context, 2)
        library.nfs_set_autoreconnect(self.context, 0)
        library.nfs_set_dircache(self.context, 0)
        if library.nfs_mount(self.context, self.server.encode(), self._export.encode()) != 0:
            self._refuse_mount(self._words())

    def _refuse_mount(self, words: str) -> NoReturn:
        place = f"{self.server}:{self._export}"
        if "ACCES" in words:
            raise AccessDenied(
                f"{place} refuses this machine ({words}): add it to the clients of the export"
            )
        if "NOENT" in words:
            raise Unavailable(
                f"{place} is not exported ({words}); `showmount -e {self.server}` lists what is"
            )
        raise Unavailable(f"{place} cannot be mounted: {words}")

    def _words(self) -> str:
        text: bytes = self.library.nfs_get_error(self.context) or b"no message"
        return " ".join(text.decode(errors="replace").split())[:300]


def _library() -> tuple[Any, bool]:
    """Load libnfs, and say whether its read and write take the buffer before the count."""
    package = importlib.util.find_spec("libnfs")
    places = package.submodule_search_locations if package else None
    built = [str(file) for place in places or () for file in Path(place).glob("_libnfs*.so")]
    for name in (*built, *_SONAMES):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        return _declared(library), _soname() in _READ_AND_WRITE_CHANGED
    raise Unsupported("libnfs is not installed on this machine; install libnfs13 or libnfs14")


def _soname() -> str:
    """Return the name of the libnfs that is loaded, as the kernel tells it."""
    found = re.search(r"libnfs\.so\.\d+", Path("/proc/self/maps").read_text())
    return found.group() if found else ""


def _declared(library: Any) -> Any:
    """Declare what each function takes, for ctypes cuts pointers to 32 bits otherwise."""
    text, pointer, places = c_char_p, c_void_p, POINTER(c_void_p)
    for name, arguments in {
        "nfs_set_uid": (c_int,),
        "nfs_set_gid": (c_int,),
        "nfs_set_version": (c_int,),
        "nfs_set_timeout": (c_int,),
        "nfs_set_tcp_syncnt": (c_int,),
        "nfs_set_autoreconnect": (c_int,),
        "nfs_set_dircache": (c_int,),
        "nfs_mount": (text, text),
        "nfs_mkdir": (text,),
        "nfs_lstat64": (text, POINTER(Stat)),
        "nfs_opendir": (text, places),
        "nfs_closedir": (pointer,),
        "nfs_readdir": (pointer,),
        "nfs_lchown": (text, c_int, c_int),
        "nfs_lchmod": (text, c_int),
        "nfs_rename": (text, text),
        "nfs_rmdir": (text,),
        "nfs_unlink": (text,),
        "nfs_statvfs64": (text, POINTER(Space)),
        "nfs_creat": (text, c_int, places),
        "nfs_open": (text, c_int, places),
        "nfs_close": (pointer,),
        "nfs_fsync": (pointer,),
        "nfs_get_error": (),
        "nfs_destroy_context": (),
    }.items():
        getattr(library, name).argtypes = (c_void_p, *arguments)
    before = _soname() not in _READ_AND_WRITE_CHANGED
    for name in ("nfs_read", "nfs_write"):
        sized = (c_uint64, c_void_p) if before else (c_void_p, c_size_t)
        getattr(library, name).argtypes = (c_void_p, c_void_p, *sized)
    library.nfs_init_context.restype = c_void_p
    library.nfs_get_error.restype = c_char_p
    library.nfs_readdir.restype = POINTER(Dirent)
    return library
