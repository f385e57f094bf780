"""One operation at a time on a volume, a bounded number on a backend, each wait with a deadline.

An operation runs in a thread of its own, under its own longer limit, and its callers wait for it
only as long as their deadlines allow. Who leaves early is told that the work goes on; who calls
again joins it. So a helper that is stuck in the kernel keeps its one volume busy and costs nobody
else anything, and no caller ever starts the same work a second time.
"""

import contextvars
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar, cast

from volplug.deadline import remaining, shielded
from volplug.errors import Busy, DeadlineExceeded, VolplugError

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Operation:
    kind: str
    started_at: float = field(default_factory=monotonic)
    outcome: "Future[Any]" = field(default_factory=Future)

    @property
    def age(self) -> str:
        return f"{monotonic() - self.started_at:.0f} s"


class Operations:
    """The operations under way on this node."""

    def __init__(
        self, *, per_backend: int = 16, callers_per_backend: int = 64, limit_s: float = 600.0
    ) -> None:
        self._limit_s = limit_s
        self._callers: dict[str, threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(callers_per_backend)
        )
        self._running: dict[str, _Operation] = {}
        self._ended = threading.Condition()
        self._turns: dict[str, threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(per_backend)
        )

    def run(self, volume: str, kind: str, work: Callable[[], T]) -> T:
        """Do the work alone on the volume and return its result; join it if that kind is running.

        Raises what the work raises; Busy if another kind kept the volume until the deadline; and
        DeadlineExceeded if the work outlasts the deadline: then it goes on, and the next call of
        that kind joins it.
        """
        operation = self._join_or_start(volume, kind, work)
        limit = remaining()
        try:
            return cast("T", operation.outcome.result(None if limit == float("inf") else limit))
        except TimeoutError:
            if operation.outcome.done():  # the work's own TimeoutError, not ours
                raise
            raise DeadlineExceeded(
                f"{kind} of volume '{volume}' has been in progress for {operation.age} and goes on;"
                " try again to wait for its end"
            ) from None

    def start(self, volume: str, kind: str, work: Callable[[], object]) -> bool:
        """Begin the work in the background, unless any operation runs on the volume: then False."""
        with self._ended:
            if volume in self._running:
                return False
            self._launch(volume, kind, work)
            return True

    def running(self, volume: str) -> str | None:
        """Return the kind of operation that runs on the volume, with its age."""
        with self._ended:
            operation = self._running.get(volume)
        return f"{operation.kind} for {operation.age}" if operation else None

    @contextmanager
    def caller(self, backend: str) -> Iterator[None]:
        """Count a caller that may have to wait for the backend; raise Busy at once above the bound.

        Callers occupy a front's threads: those of one sick backend must leave some to the others.
        """
        callers = self._callers[backend]
        if not callers.acquire(blocking=False):
            raise Busy(
                f"backend '{backend}' keeps too many calls waiting already; see what holds it up,"
                " or try again later"
            )
        try:
            yield
        finally:
            callers.release()

    @contextmanager
    def turn(self, backend: str) -> Iterator[None]:
        """Hold one of the backend's places; raise Busy if none gets free before the deadline."""
        turns, limit = self._turns[backend], remaining()
        if not turns.acquire(timeout=None if limit == float("inf") else limit):
            raise Busy(f"backend '{backend}' has too many operations under way; try again later")
        try:
            yield
        finally:
            turns.release()

    def _join_or_start(self, volume: str, kind: str, work: Callable[[], T]) -> _Operation:
        with self._ended:
            while (current := self._running.get(volume)) is not None:
                if current.kind == kind:
                    return current
                limit = remaining()
                if not self._ended.wait(None if limit == float("inf") else limit):
                    raise Busy(
                        f"volume '{volume}' is busy: {current.kind} has been running for"
                        f" {current.age}; try again when it has ended"
                    )
            return self._launch(volume, kind, work)

    def _launch(self, volume: str, kind: str, work: Callable[[], object]) -> _Operation:
        operation = self._running[volume] = _Operation(kind)
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run,
            args=(self._perform, volume, operation, work),
            name=f"{kind} {volume}",
            daemon=True,  # a stuck one must not keep the process from ending
        )
        thread.start()
        return operation

    def _perform(self, volume: str, operation: _Operation, work: Callable[[], object]) -> None:
        try:
            with shielded(self._limit_s):
                result = work()
        except BaseException as error:  # noqa: BLE001  it belongs to whoever waits
            self._end(volume)
            operation.outcome.set_exception(error)
            if not isinstance(error, VolplugError):
                _log.exception("%s of volume '%s' failed", operation.kind, volume)
        else:
            self._end(volume)
            operation.outcome.set_result(result)

    def _end(self, volume: str) -> None:
        with self._ended:
            del self._running[volume]
            self._ended.notify_all()
