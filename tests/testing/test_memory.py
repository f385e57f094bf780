"""The in-memory fakes keep what the real stores promise."""

from collections.abc import Callable

import pytest

from volplug.catalog import Catalog
from volplug.lease import LeaseTable
from volplug.mount_table import MountTable
from volplug.session import Session
from volplug.testing import (
    CatalogContract,
    FakeClock,
    LeaseContract,
    LeaseStore,
    MemoryCatalog,
    MemoryLeases,
    MemoryMounts,
    MountTableContract,
)
from volplug.volume import AccessMode


class _Memory:
    """Tables that stand beside each other; memory has nothing to lose in a restart."""

    def __init__(self) -> None:
        self._first: MemoryLeases | None = None

    def table(self, session: Session, clock: FakeClock) -> LeaseTable:
        """Return a table beside the first."""
        table = MemoryLeases(session, beside=self._first, clock=clock, utc=clock.utc)
        self._first = self._first or table
        return table

    def reopen(self) -> None:
        """Do nothing."""


class TestMemoryLeases(LeaseContract):
    """MemoryLeases, held to the contract."""

    @pytest.fixture
    def store(self) -> LeaseStore:
        """Provide an empty store."""
        return _Memory()

    def test_short_form(self) -> None:
        """A test that needs no more than two nodes names them and is done."""
        a = MemoryLeases()
        b = MemoryLeases("node-2", beside=a)
        lease = a.acquire("data", AccessMode.SINGLE_WRITER)
        assert (lease.node, b.leases()) == ("node-1", [lease])


class TestMemoryCatalog(CatalogContract):
    """MemoryCatalog, held to the contract."""

    @pytest.fixture
    def catalog(self) -> Catalog:
        """Provide an empty catalog."""
        return MemoryCatalog()

    @pytest.fixture
    def reopen(self, catalog: Catalog) -> Callable[[], Catalog]:
        """Return the same catalog: memory has nothing to lose in a restart."""
        return lambda: catalog


class TestMemoryMounts(MountTableContract):
    """MemoryMounts, held to the contract."""

    @pytest.fixture
    def mounts(self) -> MountTable:
        """Provide an empty table."""
        return MemoryMounts()

    @pytest.fixture
    def reopen(self, mounts: MountTable) -> Callable[[], MountTable]:
        """Return the same table: memory has nothing to lose in a restart."""
        return lambda: mounts
