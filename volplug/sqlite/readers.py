"""Connections for reading, each used by one thread at a time and none ever waiting for the writer.

Kept in a pool and not per thread: web servers and keepers make threads and drop them, and a
connection that dies with its thread is closed whenever the garbage collector gets round to it.
"""

import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from volplug.errors import Unavailable

T = TypeVar("T")


class Readers:
    """As many connections as there were ever readers at once."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._guard = threading.Lock()

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on what was last committed; one that fails costs its connection.

        Raises Unavailable after close, and whatever the query raises.
        """
        connection = self._take()
        try:
            answer = query(connection)
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return answer

    def close(self) -> None:
        """Close the idle connections at once and the busy ones after their query."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._guard:
            if self._closed:
                raise Unavailable("the store is closed: this volplug process is about to end")
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._guard:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
