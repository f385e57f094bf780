"""Waking up in time: a timer on CLOCK_BOOTTIME, and what keeps a process from being late.

Python's own waits count CLOCK_MONOTONIC, which stands still while the machine is suspended: a
guard that slept by it would wake hours late. Python has timerfd from 3.13 on; before, libc does.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CLOCK_BOOTTIME = 7

_TFD_NONBLOCK, _TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_PRIORITY = 50
_OOM = Path("/proc/self/oom_score_adj")

_libc = ctypes.CDLL(None, use_errno=True)


class Alarm:
    """A descriptor that becomes readable at a moment of CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self.fd = _checked(_libc.timerfd_create(CLOCK_BOOTTIME, _TFD_NONBLOCK | _TFD_CLOEXEC))

    def set(self, at_s: float | None) -> None:
        """Ring at that moment, at once if it has passed; None never. Replaces what was set."""
        nanoseconds = 0 if at_s is None else max(1, int(at_s * 1e9))
        spec = struct.pack("llll", 0, 0, *divmod(nanoseconds, 10**9))
        _checked(_libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, spec, None))

    def heard(self) -> None:
        """Take note of its ringing, so that it is silent again."""
        with suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


def be_punctual() -> Iterator[str]:
    """Keep this process in memory, first in line, and last to be killed; yield what was refused.

    Without these it is late by 20 ms at worst on a busy machine, and later on one that swaps
    (leases.md 4.8).
    """
    for what, ask in (
        ("locking its memory", _lock_memory),
        ("SCHED_FIFO", _go_first),
        ("an OOM score of -1000", _stay_last),
    ):
        try:
            ask()
        except OSError as error:
            yield f"{what} ({error.strerror})"


def _lock_memory() -> None:
    _checked(_libc.mlockall(_MCL_CURRENT | _MCL_FUTURE))


def _go_first() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))


def _stay_last() -> None:
    _OOM.write_text("-1000")


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
