"""How the file is opened: with the settings under which an acknowledged commit survives power loss.

`synchronous=NORMAL`, which most advice for WAL recommends, loses acknowledged leases at power loss,
and so gives their tokens a second time (leases.md 4.7). FULL syncs the log at every commit.
"""

import sqlite3
from pathlib import Path

from volplug.errors import HostError

SYNCHRONOUS = "FULL"
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables

_BUSY_S = 5.0  # only ever needed beside an operator's own sqlite3 shell


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes; any thread may use it, one at a time."""
    connection = _open(path)
    (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if journal != "wal":
        connection.close()
        raise HostError(f"its file system cannot keep a write-ahead log (it offers {journal!r})")
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write, and in WAL mode never waits for the one that does."""
    connection = _open(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def check_integrity(connection: sqlite3.Connection) -> None:
    """Raise HostError, with SQLite's first complaint, if the file is damaged."""
    (words,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if words != "ok":
        raise HostError(f"it is damaged ({words}): restore it from a backup")


def _open(path: Path) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise HostError(f"SQLite {sqlite3.sqlite_version} is too old: {wanted} or newer is needed")
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
