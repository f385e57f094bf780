"""The SQLite store keeps the promises of the three tables."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from volplug.catalog import Catalog
from volplug.lease import LeaseTable
from volplug.mount_table import MountTable
from volplug.session import Session
from volplug.sqlite import SqliteStore
from volplug.testing import (
    CatalogContract,
    FakeClock,
    LeaseContract,
    LeaseStore,
    MountTableContract,
)


class _File:
    """One store file, closed and opened again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.store = SqliteStore(path)

    def table(self, session: Session, clock: FakeClock) -> LeaseTable:
        """Return a table on the open file."""
        return self.store.leases(session, clock, clock.utc)

    def reopen(self) -> None:
        """Close the file and open it again."""
        self.store.close()
        self.store = SqliteStore(self._path)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[_File]:
    """Provide a new store file."""
    file = _File(tmp_path / "store.db")
    yield file
    file.store.close()


class TestSqliteLeases(LeaseContract):
    """The lease table on SQLite, held to the contract."""

    @pytest.fixture
    def store(self, file: _File) -> LeaseStore:
        """Provide an empty store."""
        return file


class TestSqliteCatalog(CatalogContract):
    """The catalog on SQLite, held to the contract."""

    @pytest.fixture
    def catalog(self, file: _File) -> Catalog:
        """Provide an empty catalog."""
        return file.store.catalog()

    @pytest.fixture
    def reopen(self, file: _File) -> Callable[[], Catalog]:
        """Return the catalog after a restart."""

        def again() -> Catalog:
            file.reopen()
            return file.store.catalog()

        return again


class TestSqliteMounts(MountTableContract):
    """The mount table on SQLite, held to the contract."""

    @pytest.fixture
    def mounts(self, file: _File) -> MountTable:
        """Provide an empty table."""
        return file.store.mounts()

    @pytest.fixture
    def reopen(self, file: _File) -> Callable[[], MountTable]:
        """Return the table after a restart."""

        def again() -> MountTable:
            file.reopen()
            return file.store.mounts()

        return again
