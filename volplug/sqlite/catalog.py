"""The catalog on SQLite. Options are kept as JSON, whose escapes hold even what UTF-8 cannot."""

import json
import sqlite3
from functools import partial
from typing import Any

from volplug.catalog import Catalog, Record, RecordState
from volplug.errors import VolumeNotFound
from volplug.host import Filesystem, Formatted
from volplug.sqlite import moment
from volplug.sqlite.database import Database
from volplug.volume import AccessMode, Owner

_COLUMNS = (
    "name, backend, access, options, created_at, uid, gid, mode, origin, state, handle,"
    " formatted, fstype, fs_uuid"
)
_SELECT = f"SELECT {_COLUMNS} FROM record"  # noqa: S608  a constant
_MARKS = ", ".join("?" * len(_COLUMNS.split(",")))


class SqliteCatalog(Catalog):
    """All records of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: Record) -> bool:
        """Store a new record; return False, and change nothing, if the name is taken."""
        sql = f"INSERT OR IGNORE INTO record ({_COLUMNS}) VALUES ({_MARKS})"  # noqa: S608  constants
        return self._database.write(
            f"the record of volume {record.name!r}",
            lambda connection: connection.execute(sql, _row(record)).rowcount == 1,
        )

    def replace(self, record: Record) -> None:
        """Overwrite the record of that name; raise VolumeNotFound if there is none."""
        self._database.write(
            f"the record of volume {record.name!r}", partial(_replace, record=record)
        )

    def get(self, name: str) -> Record | None:
        """Return the record of that name."""
        row = self._database.read(
            lambda connection: connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
        )
        return None if row is None else _record(row)

    def records(self) -> list[Record]:
        """Return all records, sorted by name."""
        rows = self._database.read(
            lambda connection: connection.execute(f"{_SELECT} ORDER BY name").fetchall()
        )
        return [_record(row) for row in rows]

    def claim(self, name: str) -> None:
        """Do nothing: this store's one node is the one that works on all its volumes."""

    def remove(self, name: str) -> None:
        """Forget a record. Already forgotten is success."""
        self._database.write(
            f"the removal of volume {name!r}",
            lambda connection: connection.execute("DELETE FROM record WHERE name = ?", (name,)),
        )


def _replace(connection: sqlite3.Connection, record: Record) -> None:
    sql = f"UPDATE record SET ({_COLUMNS}) = ({_MARKS}) WHERE name = ?"  # noqa: S608  constants
    if connection.execute(sql, (*_row(record), record.name)).rowcount != 1:
        raise VolumeNotFound(f"no volume is named {record.name!r}")


def _row(record: Record) -> tuple[str | int | None, ...]:
    return (
        record.name,
        record.backend,
        record.access,
        json.dumps(dict(record.options)),
        moment.to_text(record.created_at),
        record.owner.uid,
        record.owner.gid,
        record.owner.mode,
        record.origin,
        record.state,
        record.handle,
        record.filesystem.formatted,
        record.filesystem.fstype,
        record.filesystem.uuid,
    )


def _record(row: tuple[Any, ...]) -> Record:
    (name, backend, access, options, created_at, uid, gid, mode, origin, state, handle) = row[:11]
    formatted, fstype, uuid = row[11:]
    return Record(
        name=name,
        backend=backend,
        access=AccessMode(access),
        options=json.loads(options),
        created_at=moment.from_text(created_at),
        owner=Owner(uid, gid, mode),
        origin=origin,
        state=RecordState(state),
        handle=handle,
        filesystem=Filesystem(Formatted(formatted), fstype, uuid),
    )
