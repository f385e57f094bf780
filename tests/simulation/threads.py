"""What production modules find under the names `threading`, `time` and `monotonic` meanwhile.

The real ones would block the only thread there is. These switch to the timeline; whose clock is
read, and who waits, is told by the greenlet that asks. What another test left running in a thread
of its own is no part of the simulation: for it, time is what it always was.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from greenlet import getcurrent

from tests.simulation.timeline import Task, current


def local_wait(seconds: float | None, task: Task) -> float | None:
    """Turn seconds of the task's machine into seconds of true time."""
    return None if seconds is None else max(0.0, seconds) / task.process.clock.rate


class Lock:
    """threading.Lock."""

    def __init__(self) -> None:
        self._held = False
        self._queue: deque[Task] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, waiting for it if need be."""
        if not self._held:
            self._held = True
            return True
        if not blocking:
            return False
        task = current()
        self._queue.append(task)
        try:
            return task.park(local_wait(None if timeout < 0 else timeout, task)) or self._took(task)
        finally:
            if task in self._queue:
                self._queue.remove(task)

    def _took(self, task: Task) -> bool:
        """Say whether it was handed over while the time-out was on its way."""
        return task not in self._queue

    def release(self) -> None:
        """Give it to whoever waits longest."""
        while self._queue:
            task = self._queue.popleft()
            if task.process.alive:
                task.wake()
                return
        self._held = False

    def locked(self) -> bool:
        """Say whether it is held."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock:
    """threading.RLock."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner: object = None
        self._times = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it once more, or for the first time."""
        me = getcurrent()
        if self._owner is not me:
            if not self._lock.acquire(blocking, timeout):
                return False
            self._owner = me
        self._times += 1
        return True

    def release(self) -> None:
        """Give it back once."""
        self._times -= 1
        if not self._times:
            self._owner = None
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition:
    """threading.Condition."""

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        self._lock = lock or RLock()
        self._waiting: deque[Task] = deque()
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back, wait, and take it again; False: the time-out came first."""
        task = current()
        self._waiting.append(task)
        self._lock.release()
        try:
            task.park(local_wait(timeout, task))
        finally:
            woken = task not in self._waiting
            if not woken:
                self._waiting.remove(task)
            self._lock.acquire()
        return woken

    def notify(self, n: int = 1) -> None:
        """Wake those who wait longest."""
        for _ in range(min(n, len(self._waiting))):
            self._waiting.popleft().wake()

    def notify_all(self) -> None:
        """Wake all who wait."""
        self.notify(len(self._waiting))


class Event:
    """threading.Event."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: deque[Task] = deque()

    def is_set(self) -> bool:
        """Say whether it has happened."""
        return self._set

    def set(self) -> None:
        """Let it happen."""
        self._set = True
        while self._waiting:
            self._waiting.popleft().wake()

    def clear(self) -> None:
        """Let it not have happened."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it; say whether it has happened."""
        if not self._set:
            task = current()
            self._waiting.append(task)
            task.park(local_wait(timeout, task))
            if task in self._waiting:
                self._waiting.remove(task)
        return self._set


class Semaphore:
    """threading.Semaphore."""

    def __init__(self, value: int = 1) -> None:
        self._value = value
        self._queue: deque[Task] = deque()

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take one, waiting for it if need be."""
        if self._value > 0:
            self._value -= 1
            return True
        if not blocking:
            return False
        task = current()
        self._queue.append(task)
        task.park(local_wait(timeout, task))
        if task in self._queue:
            self._queue.remove(task)
            return False
        return True

    def release(self) -> None:
        """Give one to whoever waits longest."""
        while self._queue:
            task = self._queue.popleft()
            if task.process.alive:
                task.wake()
                return
        self._value += 1


class Thread:
    """threading.Thread: a task of the process that starts it."""

    def __init__(
        self,
        target: Callable[..., object],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or "thread"
        self.daemon = daemon
        self._work = lambda: target(*args, **(kwargs or {}))
        self._task: Task | None = None

    def start(self) -> None:
        """Begin, soon."""
        self._task = current().process.spawn(self._work)

    def is_alive(self) -> bool:
        """Say whether it is still at work."""
        return self._task is not None and not self._task.dead

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        left_s = float("inf") if timeout is None else timeout
        while self.is_alive() and left_s > 0:
            sleep(0.1)
            left_s -= 0.1


class Threading:
    """The module `threading`, as far as production uses it."""

    Lock = Lock
    RLock = RLock
    Condition = Condition
    Event = Event
    Semaphore = Semaphore
    BoundedSemaphore = Semaphore
    Thread = Thread


class Time:
    """The module `time`, as far as production uses it."""

    CLOCK_BOOTTIME: Literal[7] = 7
    simulated = 0
    """The identifier of the one real thread that all simulated ones run in."""

    @staticmethod
    def monotonic() -> float:
        """Return CLOCK_MONOTONIC of the machine of whoever asks."""
        return monotonic()

    @staticmethod
    def clock_gettime(clock: int) -> float:
        """Return CLOCK_BOOTTIME of the machine of whoever asks."""
        assert clock == Time.CLOCK_BOOTTIME
        return boottime()

    @staticmethod
    def sleep(seconds: float) -> None:
        """Let time pass on the machine of whoever asks."""
        sleep(seconds)


def monotonic() -> float:
    """Return CLOCK_MONOTONIC of the machine of whoever asks."""
    if threading.get_ident() != Time.simulated:
        return time.monotonic()
    process = current().process
    return process.clock.monotonic_s(process.timeline.now_s)


def boottime() -> float:
    """Return CLOCK_BOOTTIME of the machine of whoever asks."""
    if threading.get_ident() != Time.simulated:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    process = current().process
    return process.clock.boottime_s(process.timeline.now_s)


def sleep(seconds: float) -> None:
    """Let time pass on the machine of whoever asks."""
    if threading.get_ident() != Time.simulated:
        time.sleep(seconds)
        return
    task = current()
    task.park(local_wait(seconds, task))
