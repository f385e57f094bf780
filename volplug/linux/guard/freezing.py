"""Who is at work on a volume's freeze: a lock that a thaw waits for.

A freeze may take minutes in the kernel, and goes on when the guard that began it is killed. A thaw
by the next guard that came before its end would find nothing to thaw, and the volume would then
stay frozen. The lock goes with the process that has it. It is a byte for each volume in the file
that every guard has open, so that no disk is needed to find it; to `flock` it is none.
"""

import fcntl
import hashlib
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from volplug.linux.guard import wire
from volplug.linux.guard.child import AT_ONCE, THAW

_POLL_S = 0.02


@contextmanager
def begun(directory: Path, volume: str) -> Iterator[None]:
    """Have thaws wait for this block. Where no lock is to be had it is entered all the same."""
    with _opened(directory) as file:
        if file is not None:
            with suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_SH, 1, _place(volume))
        yield


@contextmanager
def over(directory: Path, volume: str, told: int) -> Iterator[bool]:
    """Enter once nobody freezes, or `AT_ONCE`; False if whoever tells us is gone."""
    with _opened(directory) as file:
        words = THAW
        while words and AT_ONCE not in words and file is not None and _is_begun(file, volume):
            if select.select([told], [], [], _POLL_S)[0]:
                words = os.read(told, 64)
        yield bool(words)


def _is_begun(file: int, volume: str) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(volume))
    except (BlockingIOError, PermissionError):  # either, says fcntl(2)
        return True
    except OSError:
        return False
    return False


def _place(volume: str) -> int:
    return int.from_bytes(hashlib.sha256(volume.encode()).digest()[:7])


@contextmanager
def _opened(directory: Path) -> Iterator[int | None]:
    try:
        file = os.open(directory / wire.LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)
