"""The tables, and the steps by which an older file becomes a present one.

The tokens' order must outlive everything else: `volume.epoch`, the newest token ever granted, stays
when leases are released and volumes deleted, and `meta.rev`, which tokens are taken from, is shared
by all volumes and never goes back (leases.md 2.5).
"""

import sqlite3

from volplug.errors import HostError

_APPLICATION_ID = 0x766F_6C70  # "volp": tells our file from any other SQLite database

# Entry n turns format n into n + 1. Released entries are never edited: add one at the end.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {_APPLICATION_ID}",
        """CREATE TABLE meta (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            store_uuid TEXT NOT NULL,
            generation INTEGER NOT NULL,
            rev INTEGER NOT NULL,
            mount_epoch INTEGER NOT NULL) STRICT""",
        "INSERT INTO meta VALUES (1, lower(hex(randomblob(16))), 1, 0, 0)",
        """CREATE TABLE node (
            node_id TEXT PRIMARY KEY,
            inc INTEGER NOT NULL,
            boot_id TEXT NOT NULL,
            hw_id TEXT NOT NULL,
            instance TEXT NOT NULL,
            hold_ms INTEGER NOT NULL,
            mod_rev INTEGER NOT NULL) STRICT""",
        "CREATE TABLE volume (vol TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT",
        """CREATE TABLE lease (
            token INTEGER PRIMARY KEY,
            vol TEXT NOT NULL REFERENCES volume,
            node_id TEXT NOT NULL REFERENCES node,
            inc INTEGER NOT NULL,
            mode TEXT NOT NULL,
            since TEXT NOT NULL,
            UNIQUE (vol, node_id, inc)) STRICT""",
        """CREATE TABLE condemnation (
            rev INTEGER PRIMARY KEY,
            token INTEGER NOT NULL UNIQUE,
            vol TEXT NOT NULL,
            node_id TEXT NOT NULL,
            by_whom TEXT NOT NULL,
            reason TEXT NOT NULL,
            at TEXT NOT NULL) STRICT""",
        """CREATE TABLE record (
            name TEXT PRIMARY KEY,
            backend TEXT NOT NULL,
            access TEXT NOT NULL,
            options TEXT NOT NULL,
            created_at TEXT NOT NULL,
            uid INTEGER,
            gid INTEGER,
            mode INTEGER,
            origin TEXT NOT NULL,
            state TEXT NOT NULL,
            handle TEXT NOT NULL,
            formatted TEXT NOT NULL,
            fstype TEXT NOT NULL,
            fs_uuid TEXT NOT NULL) STRICT""",
        """CREATE TABLE mount (
            vol TEXT NOT NULL,
            node_id TEXT NOT NULL,
            mount_id TEXT NOT NULL,
            count INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            boot_id TEXT NOT NULL,
            mounted_at TEXT NOT NULL,
            PRIMARY KEY (vol, node_id, mount_id)) STRICT""",
    ),
    ("ALTER TABLE node ADD COLUMN guard_level INTEGER NOT NULL DEFAULT 0",),
    (
        # A lease that was condemned by an older volplug barred nobody, and does not begin to.
        "ALTER TABLE condemnation ADD COLUMN stale INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX stale ON condemnation (node_id) WHERE stale = 1",
        """CREATE TABLE fence (
            token INTEGER PRIMARY KEY,
            vol TEXT NOT NULL,
            node_id TEXT NOT NULL,
            state TEXT NOT NULL,
            by_node TEXT NOT NULL,
            words TEXT NOT NULL,
            at TEXT NOT NULL) STRICT""",
    ),
)
FORMAT = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the present format, in one transaction. At that format already is success.

    Raises HostError for a file of a newer format, and for a database that is not a store.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        _apply(connection, _format(connection))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def next_rev(connection: sqlite3.Connection) -> int:
    """Return a number that is greater than any returned before in the life of the store."""
    (rev,) = connection.execute("UPDATE meta SET rev = rev + 1 RETURNING rev").fetchone()
    return int(rev)


def _apply(connection: sqlite3.Connection, from_format: int) -> None:
    if from_format > FORMAT:
        raise HostError(
            f"it has format {from_format}, written by a newer volplug, and this one knows formats "
            f"up to {FORMAT}: install the newer volplug again"
        )
    for statements in MIGRATIONS[from_format:]:
        for statement in statements:
            connection.execute(statement)
    if from_format < FORMAT:
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def _format(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != _APPLICATION_ID and (version or application or tables):
        raise HostError("it is a database of something other than volplug: move it away")
    return int(version)
