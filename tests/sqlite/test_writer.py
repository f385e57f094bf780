"""Group commit: one transaction for many callers, and each caller its own outcome."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from volplug.sqlite.writer import Writer


class _Gate:
    """A writer whose thread waits at a gate, so that jobs pile up into one batch."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("CREATE TABLE t (x INTEGER NOT NULL)")
        self.statements: list[str] = []
        self.connection.set_trace_callback(self.statements.append)
        self.writer = Writer(self.connection, "test writer")

    def together(self, *operations: Callable[[sqlite3.Connection], object]) -> list[Future[object]]:
        """Run the operations as one batch; return their futures, all done."""
        waiting, go_on = threading.Event(), threading.Event()

        def gate(_: sqlite3.Connection) -> None:
            waiting.set()
            go_on.wait()

        opened = self.writer.submit(gate)
        waiting.wait()
        futures = [self.writer.submit(operation) for operation in operations]
        go_on.set()
        opened.result()
        for future in futures:
            future.exception()
        return futures

    def rows(self) -> list[int]:
        """Return what is in the table."""
        return [x for (x,) in self.connection.execute("SELECT x FROM t ORDER BY x")]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[_Gate]:
    """Provide a writer on a new file."""
    gate = _Gate(tmp_path / "t.db")
    yield gate
    gate.writer.close()
    gate.connection.close()


def _insert(x: int | None) -> Callable[[sqlite3.Connection], object]:
    def insert(connection: sqlite3.Connection) -> int | None:
        connection.execute("INSERT INTO t VALUES (?)", (x,))
        return x

    return insert


def _insert_and_raise(x: int, error: BaseException) -> Callable[[sqlite3.Connection], object]:
    def insert(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (?)", (x,))
        raise error

    return insert


def test_batch_is_one_transaction(gate: _Gate) -> None:
    """Whatever has queued up is committed at once, and each caller gets its own answer."""
    futures = gate.together(*(_insert(x) for x in range(100)))
    assert [future.result() for future in futures] == list(range(100))
    assert gate.rows() == list(range(100))
    assert gate.statements.count("COMMIT") == 2  # the gate's own, and the batch's


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(1)])
def test_failure_undoes_its_own_operation_only(gate: _Gate, error: BaseException) -> None:
    """An operation that raises leaves no trace, and only its own caller gets the exception."""
    futures = gate.together(_insert(1), _insert_and_raise(2, error), _insert(3))
    assert [future.exception() for future in futures] == [None, error, None]
    assert gate.rows() == [1, 3]


def test_refused_statement_undoes_its_own_operation_only(gate: _Gate) -> None:
    """A constraint that fails is its operation's failure, and nobody else's."""
    futures = gate.together(_insert(1), _insert(None), _insert(3))
    assert isinstance(futures[1].exception(), sqlite3.IntegrityError)
    assert gate.rows() == [1, 3]


def test_later_operation_sees_the_earlier(gate: _Gate) -> None:
    """Operations of a batch run in the order in which they were asked for."""

    def count(connection: sqlite3.Connection) -> object:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]

    futures = gate.together(count, _insert(1), count, _insert(2), count)
    assert [future.result() for future in futures[::2]] == [0, 1, 2]


def test_failed_commit_fails_everybody(gate: _Gate) -> None:
    """If the commit fails nobody is told yes, nothing is stored, and the next batch succeeds."""
    gate.connection.execute("PRAGMA foreign_keys = ON")
    gate.connection.execute("CREATE TABLE p (x INTEGER PRIMARY KEY)")
    gate.connection.execute("CREATE TABLE c (x REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    futures = gate.together(
        _insert(1), lambda connection: connection.execute("INSERT INTO c VALUES (7)"), _insert(3)
    )
    assert [type(future.exception()) for future in futures] == [sqlite3.IntegrityError] * 3
    assert gate.rows() == []
    assert gate.together(_insert(4))[0].result() == 4
    assert gate.rows() == [4]


def test_transaction_undone_by_sqlite_fails_everybody(gate: _Gate) -> None:
    """When SQLite itself rolls the whole transaction back, earlier callers are not told yes."""

    def undo(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR ROLLBACK INTO t VALUES (NULL)")

    futures = gate.together(_insert(1), undo, _insert(3))
    assert [type(future.exception()) for future in futures] == [sqlite3.IntegrityError] * 3
    assert gate.rows() == []


def test_begin_that_fails_fails_everybody(gate: _Gate, tmp_path: Path) -> None:
    """A file that another program keeps locked is everybody's failure, and only for that long."""
    gate.connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    future = gate.writer.submit(_insert(1))
    assert isinstance(future.exception(), sqlite3.OperationalError)
    other.close()
    assert gate.writer.submit(_insert(2)).result() == 2


def test_cancelled_operation_is_not_done(gate: _Gate) -> None:
    """A caller that left before its operation began leaves nothing behind."""
    waiting, go_on = threading.Event(), threading.Event()

    def block(_: sqlite3.Connection) -> None:
        waiting.set()
        go_on.wait()

    gate.writer.submit(block)
    waiting.wait()
    left, stayed = gate.writer.submit(_insert(1)), gate.writer.submit(_insert(2))
    assert left.cancel()
    go_on.set()
    stayed.result()
    assert gate.rows() == [2]


def test_more_than_a_batch(gate: _Gate) -> None:
    """A thousand callers at once are all answered, in several commits."""
    futures = gate.together(*(_insert(x) for x in range(1000)))
    assert [future.result() for future in futures] == list(range(1000))
    assert gate.rows() == list(range(1000))
