"""The machine's processes, found by a word of their environment.

A program hands its environment on to whatever it starts, in whatever session or cgroup that goes to
live. The kernel shows it as long as the process has memory: one that has none left makes no system
call any more, though its number may be listed for a while.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from volplug.linux.mountinfo import PROC

_LOADING_S, _POLL_S = 1.0, 0.002
"""How long a program may take to be loaded, and how often we look meanwhile."""

_SURELY = 3
"""How many looks in a row show an empty environment that is not just being filled."""


def others() -> Iterator[int]:
    """Yield the numbers of all processes but ourselves and the first one."""
    mine = os.getpid()
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) not in (mine, 1):
            yield int(entry.name)


def environment(process: int) -> list[bytes]:
    """Return a process's environment as `NAME=value`; of one that has ended, nothing.

    While a program is being loaded its environment is not there yet, and is waited for.
    """
    directory, end_s, empty = PROC / str(process), time.monotonic() + _LOADING_S, 0
    try:
        while not (found := (directory / "environ").read_bytes()):
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            memory, start, end = fields[20], fields[47], fields[48]  # proc_pid_stat(5), from 3 on
            empty = empty + 1 if start == end != "0" else 0
            if memory == "0" or empty >= _SURELY or time.monotonic() > end_s:
                return []
            time.sleep(_POLL_S)
    except OSError:
        return []
    return found.split(b"\0")


def name(process: int) -> str:
    """Return what the kernel calls a process; empty if it has ended."""
    try:
        return (PROC / str(process) / "comm").read_text().strip()
    except OSError:
        return ""


def marked(mark: bytes) -> Iterator[int]:
    """Yield the processes whose environment has this word, as `NAME=value`."""
    for process in others():
        if mark in environment(process):
            yield process


def kill(processes: Iterable[int]) -> None:
    """End processes; one that is gone is success."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def kill_marked(process: int, mark: bytes) -> None:
    """End a process if its environment has this word; another one under its number is spared."""
    try:
        handle = os.pidfd_open(process)
    except OSError:
        return
    try:
        if mark in environment(process):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
