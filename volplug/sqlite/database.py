"""Reading and writing the file: every answer is durable, and reading never waits for writing."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from volplug.deadline import check, remaining
from volplug.errors import DeadlineExceeded, HostError, Unavailable
from volplug.sqlite.connection import check_integrity, open_reader, open_writer
from volplug.sqlite.exclusive import SoleUse, refuse_network
from volplug.sqlite.readers import Readers
from volplug.sqlite.schema import migrate
from volplug.sqlite.writer import Writer

T = TypeVar("T")


class Database:
    """One SQLite file, open in this process only."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it if it is not there; raise HostError, naming it."""
        self._path = path
        with _refusing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            refuse_network(path.parent)
            self._sole_use = SoleUse(path.with_suffix(".lock"))
            try:
                path.touch(mode=0o600)  # SQLite gives its other files the same rights
                self._connection = _open(path)
            except BaseException:
                self._sole_use.end()
                raise
        self._writer = Writer(self._connection, name=f"{path.name} writer")
        self._readers = Readers(lambda: open_reader(path))
        self._open = True

    def write(self, awaited: str, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation in a transaction; return once durable. What it raises undoes it alone.

        Raises Unavailable if the file cannot be written, and DeadlineExceeded, naming what was
        awaited, if no time is left: an operation that had not begun by then is dropped.
        """
        check(awaited)
        future = self._writer.submit(operation)
        limit = remaining()
        try:
            return future.result(None if limit == float("inf") else limit)
        except TimeoutError as error:
            future.cancel()
            raise DeadlineExceeded(
                f"ran out of time waiting for {awaited}: the disk under {self._path} is slow or "
                "stuck; a retry continues"
            ) from error
        except sqlite3.Error as error:
            raise Unavailable(f"the store {self._path} cannot be written: {error}") from error

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query of one statement on what was last committed, without waiting for writers.

        Raises Unavailable if the file cannot be read.
        """
        try:
            return self._readers.read(query)
        except sqlite3.Error as error:
            raise Unavailable(f"the store {self._path} cannot be read: {error}") from error

    def close(self) -> None:
        """Finish what was asked, then let the file go. Repeating is success."""
        if self._open:
            self._open = False
            self._writer.close()
            self._readers.close()
            self._connection.close()
            self._sole_use.end()


def _open(path: Path) -> sqlite3.Connection:
    connection = open_writer(path)
    try:
        check_integrity(connection)
        migrate(connection)
        _sync_folder(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def _sync_folder(folder: Path) -> None:
    """Make the names of the files durable; SQLite syncs what is in them."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn whatever keeps the file from being opened into one sentence that names it."""
    try:
        yield
    except HostError as error:
        raise HostError(f"cannot open the store {path}: {error}") from error
    except OSError as error:
        raise HostError(
            f"cannot open the store {path}: {error.strerror or error} ({error.filename})"
        ) from error
    except sqlite3.Error as error:
        raise HostError(
            f"cannot open the store {path}: {error}; check its rights, restore it from a backup, "
            "or move it away to begin with no volumes known"
        ) from error
