"""Deadlines that are set outside and shorten everything inside.

A front opens `deadline(25)` around a call; whatever runs within asks `remaining()` and takes no
timeout parameter of its own. Clean-up opens `shielded(30)`, which starts afresh on purpose. The
clock is a value in the same context, so that tests turn it by hand and nothing has to sleep.

A new thread starts with an empty context: run its work in `contextvars.copy_context()`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from volplug.errors import DeadlineExceeded


class Clock(Protocol):
    """Seconds that only go forward, and a way to let some pass."""

    def now(self) -> float:
        """Return seconds since some fixed moment."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let seconds pass."""
        ...


class SystemClock:
    """The kernel's monotonic clock."""

    def now(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)


_SYSTEM_CLOCK = SystemClock()
_clock: ContextVar[Clock] = ContextVar("clock", default=_SYSTEM_CLOCK)
_end: ContextVar[float] = ContextVar("deadline", default=float("inf"))


@contextmanager
def clock(replacement: Clock) -> Iterator[None]:
    """Use another clock inside the block."""
    token = _clock.set(replacement)
    try:
        yield
    finally:
        _clock.reset(token)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Give the block at most that long; an outer deadline that ends sooner stays in force."""
    token = _end.set(min(_end.get(), _clock.get().now() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


@contextmanager
def shielded(seconds: float) -> Iterator[None]:
    """Give the block that long whatever deadline stands outside: for clean-up that must be done."""
    token = _end.set(_clock.get().now() + seconds)
    try:
        yield
    finally:
        _end.reset(token)


def remaining() -> float:
    """Return the seconds left, never below zero; infinity when no deadline was set."""
    return max(0.0, _end.get() - _clock.get().now())


def check(awaited: str) -> None:
    """Raise DeadlineExceeded, naming what was awaited, when no time is left."""
    if remaining() <= 0:
        raise DeadlineExceeded(f"ran out of time waiting for {awaited}; a retry continues")


def wait_until(condition: Callable[[], bool], awaited: str, poll_s: float = 0.1) -> None:
    """Return once the condition holds; it is asked at least once, and once more at the very end.

    Raises DeadlineExceeded, naming what was awaited, if it never held.
    """
    while not condition():
        check(awaited)
        _clock.get().sleep(min(poll_s, remaining()))
