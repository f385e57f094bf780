"""The pool of connections for reading."""

import sqlite3
import threading
from pathlib import Path

import pytest

from volplug.errors import Unavailable
from volplug.sqlite.readers import Readers


class _Opened:
    """Connections to an empty database, and whether each is still open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.connections: list[sqlite3.Connection] = []

    def connect(self) -> sqlite3.Connection:
        """Open one more."""
        self.connections.append(sqlite3.connect(self._path, check_same_thread=False))
        return self.connections[-1]

    def open(self) -> list[bool]:
        """Say of each connection whether it is open."""
        return [_is_open(connection) for connection in self.connections]


@pytest.fixture
def opened(tmp_path: Path) -> _Opened:
    """Provide the connections that were opened."""
    return _Opened(tmp_path / "t.db")


@pytest.fixture
def readers(opened: _Opened) -> Readers:
    """Provide a pool."""
    return Readers(opened.connect)


def _one(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT 1").fetchone()[0])


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        return _one(connection) == 1
    except sqlite3.ProgrammingError:
        return False


def test_connection_is_used_again(readers: Readers, opened: _Opened) -> None:
    """One reader after the other needs one connection, in whatever thread it reads."""
    readers.read(_one)
    thread = threading.Thread(target=readers.read, args=(_one,))
    thread.start()
    thread.join()
    assert opened.open() == [True]
    readers.close()


def test_readers_at_once_have_a_connection_each(readers: Readers, opened: _Opened) -> None:
    """A reader never waits for another one's query."""
    readers.read(lambda _: readers.read(_one))
    assert opened.open() == [True, True]
    readers.close()


def test_failed_query_costs_its_connection(readers: Readers, opened: _Opened) -> None:
    """What a failure may have left a connection in is not handed to the next reader."""
    with pytest.raises(sqlite3.OperationalError):
        readers.read(lambda connection: connection.execute("SELECT nonsense"))
    assert readers.read(_one) == 1
    assert opened.open() == [False, True]
    readers.close()


def test_close_closes_idle_and_busy(readers: Readers, opened: _Opened) -> None:
    """Idle connections are closed at once, busy ones after their query, and no more are opened."""
    readers.read(lambda _: readers.read(_one))

    def close_meanwhile(connection: sqlite3.Connection) -> int:
        readers.close()
        return _one(connection)

    assert readers.read(close_meanwhile) == 1
    assert opened.open() == [False, False]
    with pytest.raises(Unavailable, match="closed"):
        readers.read(_one)
