"""The etcd store keeps the promises of the catalog and of the lease table, on a real cluster."""

from collections.abc import Callable, Iterator

import pytest

from tests.etcd.cluster import Cluster
from volplug.catalog import Catalog
from volplug.etcd import EtcdStore
from volplug.lease import LeaseTable
from volplug.session import Session
from volplug.testing import CatalogContract, FakeClock, LeaseContract, LeaseStore


class _Corner:
    """A part of the cluster that one test has to itself, by a new store after each restart."""

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self._cluster = cluster
        self._prefix = prefix
        self.store = EtcdStore(cluster.access, prefix=prefix)

    def table(self, session: Session, clock: FakeClock) -> LeaseTable:
        """Return a table of the open store."""
        return self.store.leases(session, clock, clock.utc)

    def reopen(self) -> None:
        """Hang up, and call again."""
        self.store.close()
        self.store = EtcdStore(self._cluster.access, prefix=self._prefix)


@pytest.fixture
def corner(cluster: Cluster, prefix: str) -> Iterator[_Corner]:
    """Provide an empty store."""
    corner = _Corner(cluster, prefix)
    yield corner
    corner.store.close()


class TestEtcdLeases(LeaseContract):
    """The lease table on etcd, held to the contract."""

    @pytest.fixture
    def store(self, corner: _Corner) -> LeaseStore:
        """Provide an empty store."""
        return corner


class TestEtcdCatalog(CatalogContract):
    """The catalog on etcd, held to the contract."""

    @pytest.fixture
    def catalog(self, corner: _Corner) -> Catalog:
        """Provide an empty catalog."""
        return corner.store.catalog()

    @pytest.fixture
    def reopen(self, corner: _Corner) -> Callable[[], Catalog]:
        """Return the catalog after a restart."""

        def again() -> Catalog:
            corner.reopen()
            return corner.store.catalog()

        return again
