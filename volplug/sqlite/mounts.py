"""The mount rows on SQLite, and the count of the engine's lives."""

import sqlite3
from typing import Any

from volplug.mount_table import MountRow, MountTable
from volplug.sqlite import moment
from volplug.sqlite.database import Database

_SELECT = "SELECT vol, node_id, mount_id, count, epoch, boot_id, mounted_at FROM mount"
_SORTED = " ORDER BY vol, mount_id, node_id"


class SqliteMounts(MountTable):
    """All mount rows of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: MountRow) -> None:
        """Store a row in place of the one with the same volume, node and mount ID."""
        values = (
            row.volume,
            row.node,
            row.mount_id,
            row.count,
            row.epoch,
            row.boot_id,
            moment.to_text(row.mounted_at),
        )
        self._database.write(
            f"a mount of volume {row.volume!r} to be recorded",
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO mount"
                " (vol, node_id, mount_id, count, epoch, boot_id, mounted_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            ),
        )

    def remove(self, row: MountRow) -> None:
        """Forget the row with that volume, node and mount ID. Already forgotten is success."""
        key = (row.volume, row.node, row.mount_id)
        self._database.write(
            f"a mount of volume {row.volume!r} to be forgotten",
            lambda connection: connection.execute(
                "DELETE FROM mount WHERE vol = ? AND node_id = ? AND mount_id = ?", key
            ),
        )

    def rows(self, volume: str | None = None) -> list[MountRow]:
        """List the rows of one volume, or all, sorted by volume and mount ID."""
        where, values = ("", ()) if volume is None else (" WHERE vol = ?", (volume,))
        rows = self._database.read(
            lambda connection: connection.execute(_SELECT + where + _SORTED, values).fetchall()
        )
        return [_row(row) for row in rows]

    def epoch(self) -> int:
        """Return the present epoch, 0 on a new table."""
        return self._database.read(
            lambda connection: int(connection.execute("SELECT mount_epoch FROM meta").fetchone()[0])
        )

    def next_epoch(self) -> int:
        """Begin a new epoch and return it."""
        return self._database.write("a new mount epoch", _next_epoch)


def _next_epoch(connection: sqlite3.Connection) -> int:
    sql = "UPDATE meta SET mount_epoch = mount_epoch + 1 RETURNING mount_epoch"
    return int(connection.execute(sql).fetchone()[0])


def _row(row: tuple[Any, ...]) -> MountRow:
    volume, node, mount_id, count, epoch, boot_id, mounted_at = row
    return MountRow(
        volume, node, mount_id, count, epoch, boot_id, mounted_at=moment.from_text(mounted_at)
    )
