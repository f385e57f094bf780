"""The file that everything of one node is kept in, open for as long as volplug runs.

The store belongs to one process, the one that also runs the keeper; see exclusive.py.
"""

from pathlib import Path

from volplug.catalog import Catalog
from volplug.deadline import Clock
from volplug.lease import LeaseTable
from volplug.mount_table import MountTable
from volplug.session import BoottimeClock, Session, Utc, utc_now
from volplug.sqlite.catalog import SqliteCatalog
from volplug.sqlite.database import Database
from volplug.sqlite.leases import SqliteLeases
from volplug.sqlite.mounts import SqliteMounts


class SqliteStore:
    """Catalog, leases and mount rows of one node, durable in one file."""

    def __init__(self, path: Path) -> None:
        """Open the store, and make it if it is not there.

        Raises HostError, with the path and what to do, if the file is damaged, newer or not a
        store, if it is on a network file system, or if another process has it open.
        """
        self._database = Database(path)

    def catalog(self) -> Catalog:
        """Return the catalog that is kept here."""
        return SqliteCatalog(self._database)

    def mounts(self) -> MountTable:
        """Return the mount rows that are kept here."""
        return SqliteMounts(self._database)

    def leases(
        self, session: Session, clock: Clock | None = None, utc: Utc = utc_now
    ) -> LeaseTable:
        """Register a session and return the leases as it sees and changes them.

        `clock` times other sessions' silence: CLOCK_BOOTTIME, unless a test says otherwise. Raises
        HostError if another machine is registered under this node's name.
        """
        return SqliteLeases(self._database, session, clock or BoottimeClock(), utc)

    def uuid(self) -> str:
        """Return the identity that this store was given when it was made."""
        sql = "SELECT store_uuid FROM meta"
        return self._database.read(lambda connection: str(connection.execute(sql).fetchone()[0]))

    def generation(self) -> int:
        """Return how many lives the store has had: 1, and one more per declared restore."""
        sql = "SELECT generation FROM meta"
        return self._database.read(lambda connection: int(connection.execute(sql).fetchone()[0]))

    def newest_token(self) -> int:
        """Return a number that no token given so far is above."""
        sql = "SELECT rev FROM meta"
        return self._database.read(lambda connection: int(connection.execute(sql).fetchone()[0]))

    def close(self) -> None:
        """Finish what was asked, then let the file go. Repeating is success."""
        self._database.close()
