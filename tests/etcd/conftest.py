"""The cluster that the tests of the etcd store share, and a corner of it for each test."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.etcd.cluster import Cluster
from tests.machine import need_program
from tests.sqlite.shelf import new_shelf

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def etcd_program() -> Path:
    """The etcd of this machine."""
    return need_program("etcd", "etcd-server")


@pytest.fixture(scope="session")
def cluster(etcd_program: Path) -> Iterator[Cluster]:
    """A healthy cluster of three; whoever disturbs it starts one of its own."""
    cluster = Cluster(etcd_program, new_shelf())
    cluster.start()
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def make_cluster(etcd_program: Path) -> Iterator[Callable[..., Cluster]]:
    """Start clusters of one's own, to disturb or to set up otherwise."""
    made: list[Cluster] = []

    def make(**options: Any) -> Cluster:
        cluster = Cluster(etcd_program, new_shelf(), **options)
        made.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"/test/{next(_numbers)}"
