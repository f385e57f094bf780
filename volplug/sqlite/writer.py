"""The one thread that writes: many callers, one transaction, one sync.

SQLite's own queue for writers is unfair: with sixteen connections one thread was seen to starve for
1.6 s. One writer that commits whatever has queued up meanwhile never starves anybody, and writes
six to fourteen times as much (leases.md 4.7).
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from volplug.errors import Unavailable

T = TypeVar("T")

_BATCH = 256


class _Job(Generic[T]):
    """An operation, and the caller that waits for it."""

    def __init__(self, operation: Callable[[sqlite3.Connection], T]) -> None:
        self.future: Future[T] = Future()
        self._operation = operation
        self._answer: Callable[[], None] = lambda: None

    def begin(self) -> bool:
        """Say whether the caller still waits; from here on it cannot change its mind."""
        return self.future.set_running_or_notify_cancel()

    def run(self, connection: sqlite3.Connection) -> None:
        """Do the operation in a savepoint; what it raises undoes it alone, and is its answer."""
        connection.execute("SAVEPOINT job")
        try:
            result = self._operation(connection)
        except BaseException as error:
            if not connection.in_transaction:
                raise  # a full disk, for one, makes SQLite undo the whole transaction
            connection.execute("ROLLBACK TO job")
            failure = error
            self._answer = lambda: self.future.set_exception(failure)
        else:
            self._answer = lambda: self.future.set_result(result)
        connection.execute("RELEASE job")

    def answer(self) -> None:
        """Tell the caller, now that the commit is durable."""
        self._answer()

    def fail(self, error: BaseException) -> None:
        """Tell the caller that nothing of it was done."""
        self.future.set_exception(error)


class Writer:
    """Runs operations on one connection, in order, and answers each after its commit."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._door = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> "Future[T]":
        """Queue an operation; its future is done once the operation's outcome is durable.

        Raises Unavailable after close.
        """
        job = _Job(operation)
        with self._door:
            if self._closed:
                raise Unavailable("the store is closed: this volplug process is about to end")
            self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Do what is queued, then end the thread. Repeating is success."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._next_batch()
            self._commit([job for job in batch if job.begin()])

    def _next_batch(self) -> "tuple[list[_Job[Any]], bool]":
        """Wait for a job, and take along what else is there; False once the writer is closed."""
        batch: list[_Job[Any]] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _BATCH:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: "list[_Job[Any]]") -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                job.run(self._connection)
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001  a dead writer would leave callers waiting
            self._undo()
            for job in batch:
                job.fail(error)
            return
        for job in batch:
            job.answer()

    def _undo(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # The next BEGIN fails, and says why to those who ask next.
            return
