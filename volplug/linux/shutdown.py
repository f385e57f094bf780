"""Ending a file system's writes for good: what is not on its disk yet never gets there.

Neither `umount -l` nor a remount as read-only does that; both let go on what was open or dirty
(leases.md 2.11).
"""

import errno
import fcntl
import logging
import os
import struct
from pathlib import Path

_log = logging.getLogger(__name__)

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, linux/fs.h; XFS had it first, hence its X
_NO_LOG_FLUSH = struct.pack("I", 2)
_CANNOT = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL})


def shut_down(directory: Path) -> None:
    """Shut down the file system mounted there, without flushing; repeating is success.

    One that does not know how is left to be unmounted, and that is logged.
    """
    try:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EIO:  # EIO: it is shut down already
            _log.warning("%s is not shut down: %s", directory, error.strerror)
        return
    try:
        fcntl.ioctl(opened, _SHUTDOWN, _NO_LOG_FLUSH)
    except OSError as error:
        level = logging.WARNING if error.errno in _CANNOT else logging.ERROR
        _log.log(level, "%s is not shut down: %s", directory, error.strerror)
    finally:
        os.close(opened)
