"""libgfapi through ctypes: loaded and declared.

The handle is the one that the `gfapi` package from PyPI opened if it is installed, else the
system's. Of that package only that handle is used: it was last released in 2018, does not import on
Python 3.10 and later unless `collections.Iterator` is put back, and its `fsync` passes one argument
where the library takes three since Gluster 6, which crashes (backends-file 3.1).
"""

import collections
import ctypes
import importlib.util
import os
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_long, c_size_t, c_uint, c_ulong, c_void_p
from typing import Any

from volplug.sdk import Unsupported


class Stat(ctypes.Structure):
    """struct stat of Linux on 64-bit machines, with room to spare."""

    _fields_ = [
        ("dev", c_ulong),
        ("ino", c_ulong),
        *(
            [("nlink", c_ulong), ("mode", c_uint)]
            if os.uname().machine == "x86_64"
            else [("mode", c_uint), ("nlink", c_uint)]
        ),
        ("uid", c_uint),
        ("gid", c_uint),
        ("rdev", c_ulong),
        ("size", c_long),
        ("rest", c_ulong * 16),
    ]


_STATVFS = "bsize frsize blocks bfree bavail files ffree favail fsid flag namemax"


class StatVfs(ctypes.Structure):
    """struct statvfs of Linux on 64-bit machines, with room to spare."""

    _fields_ = [*((name, c_ulong) for name in _STATVFS.split()), ("spare", c_int * 8)]


class Dirent(ctypes.Structure):
    _fields_ = [
        ("ino", c_ulong),
        ("off", c_long),
        ("reclen", ctypes.c_ushort),
        ("type", ctypes.c_ubyte),
        ("name", ctypes.c_char * 513),
    ]


def library() -> Any:
    """Return libgfapi with every function declared that is used."""
    try:
        if importlib.util.find_spec("gluster") and importlib.util.find_spec("gluster.gfapi"):
            if not hasattr(collections, "Iterator"):
                setattr(collections, "Iterator", Iterator)  # noqa: B010  for gfapi 1.2's import
            return _declared(importlib.import_module("gluster.gfapi.api").client)
        return _declared(ctypes.CDLL("libgfapi.so.0", ctypes.RTLD_GLOBAL, use_errno=True))
    except (OSError, ImportError) as error:
        raise Unsupported(
            "libgfapi is not installed on this machine; install the package glusterfs-common"
        ) from error


def _declared(library: Any) -> Any:
    """Declare what each function takes, for ctypes cuts pointers to 32 bits otherwise."""
    text, pointer = c_char_p, c_void_p
    for name, arguments in {
        "glfs_new": (text,),
        "glfs_set_volfile_server": (pointer, text, text, c_int),
        "glfs_set_logging": (pointer, text, c_int),
        "glfs_set_xlator_option": (pointer, text, text, text),
        "glfs_init": (pointer,),
        "glfs_mkdir": (pointer, text, c_uint),
        "glfs_lstat": (pointer, text, POINTER(Stat)),
        "glfs_opendir": (pointer, text),
        "glfs_closedir": (pointer,),
        "glfs_readdir_r": (pointer, POINTER(Dirent), POINTER(POINTER(Dirent))),
        "glfs_lchown": (pointer, text, c_uint, c_uint),
        "glfs_chmod": (pointer, text, c_uint),
        "glfs_rename": (pointer, text, text),
        "glfs_rmdir": (pointer, text),
        "glfs_unlink": (pointer, text),
        "glfs_statvfs": (pointer, text, POINTER(StatVfs)),
        "glfs_creat": (pointer, text, c_int, c_uint),
        "glfs_open": (pointer, text, c_int),
        "glfs_write": (pointer, text, c_size_t, c_int),
        "glfs_read": (pointer, pointer, c_size_t, c_int),
        "glfs_fsync": (pointer, pointer, pointer),
        "glfs_close": (pointer,),
    }.items():
        getattr(library, name).argtypes = arguments
    for name in ("glfs_new", "glfs_opendir", "glfs_creat", "glfs_open"):
        getattr(library, name).restype = c_void_p
    for name in ("glfs_write", "glfs_read"):
        getattr(library, name).restype = ctypes.c_ssize_t
    return library
