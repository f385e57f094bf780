"""One process, one machine: who may open a store at all.

SQLite's log is a shared memory that network file systems do not share, and their locks come and go
with the network; so the store must lie on a local disk. A second process is kept out by a flock on
a side file, which the kernel lets go at the holder's death, however it died.
"""

import ctypes
import fcntl
import os
from pathlib import Path

from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded, HostError

_PATIENCE_S = 5.0  # a worker that is being replaced needs a moment to die

# f_type of statfs(2), from linux/magic.h and the file systems' own headers. FUSE is among them:
# sshfs, gluster and virtiofs are all that, and a mount does not tell which.
_NETWORKS = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "SMB",
    0xFE534D42: "SMB",
    0x01021997: "9P",
    0x65735546: "FUSE",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
}
_LIBC = ctypes.CDLL(None, use_errno=True)
_STATFS_BYTES = 512  # more than struct statfs is on any Linux; f_type is its first word


def refuse_network(folder: Path) -> None:
    """Raise HostError if the folder lies on a file system that several machines can mount."""
    network = _NETWORKS.get(filesystem_magic(folder))
    if network is not None:
        raise HostError(
            f"{folder} is on a network file system ({network}): "
            "set state_dir to a directory on a local disk"
        )


def filesystem_magic(path: Path) -> int:
    """Return statfs(2)'s f_type, which Python's os.statvfs leaves out; raise OSError."""
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _LIBC.statfs(os.fsencode(path), answer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))
    return ctypes.c_long.from_buffer(answer).value & 0xFFFF_FFFF


class SoleUse:
    """The right to be the only process that has a store open; `end` gives it up."""

    def __init__(self, lock_path: Path) -> None:
        """Take the right; wait a few seconds for a dying predecessor, then raise HostError."""
        self._fd = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with deadline(_PATIENCE_S):
                wait_until(self._take, "the store's previous process to end")
        except DeadlineExceeded as error:
            owner = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            self.end()
            raise HostError(
                f"another volplug process (pid {owner}) has it open: stop that one first, "
                "or give this one a state_dir of its own"
            ) from error
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def end(self) -> None:
        """Give the right up."""
        os.close(self._fd)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
