"""A real `volplug serve` whose cluster comes up after it, as after a power cut."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.agent import Agent
from tests.etcd.cluster import Cluster
from tests.etcd.test_two_nodes import Node, clean_up
from tests.machine import need_root
from tests.sqlite.shelf import new_shelf
from volplug.deadline import deadline, wait_until

pytestmark = pytest.mark.root


@pytest.fixture
def late_cluster(etcd_program: Path) -> Iterator[Cluster]:
    """A cluster of three that does not run yet."""
    cluster = Cluster(etcd_program, new_shelf())
    yield cluster
    cluster.stop()


@pytest.fixture
def node(late_cluster: Cluster, tmp_path: Path) -> Iterator[Node]:
    """A node of that cluster, which serves already."""
    need_root()
    node = Node(tmp_path / "a", "a", late_cluster, "/late")
    try:
        node.start()
        yield node
    finally:
        node.kill()
        clean_up(tmp_path)


def error(agent: Agent, call: str, **body: object) -> str:
    """Make a call that is answered, and return what it says went wrong."""
    answer = agent.call(call, **body)
    assert answer is not None
    return str(answer.get("Err", ""))


def test_node_begins_before_its_store(node: Node, late_cluster: Cluster) -> None:
    """The engine is answered while no member runs, and all works once they do."""
    assert node.call("/Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    assert node.call("/VolumeDriver.Capabilities") == {"Capabilities": {"Scope": "local"}}
    assert error(node, "/VolumeDriver.Unmount", Name="data", ID="c1") == ""
    assert node.call("/VolumeDriver.Get", Name="data") is None  # an error would forget the volume
    assert "the store is away" in error(node, "/VolumeDriver.List")
    assert "the store is away" in error(node, "/VolumeDriver.Create", Name="data", Opts={})
    assert "the store is away" in error(node, "/VolumeDriver.Mount", Name="data", ID="c1")
    assert "the store is away" in error(node, "/Volplug.Why", Name="data")

    late_cluster.start()
    late_cluster.wait()
    with deadline(60.0):
        wait_until(
            lambda: error(node, "/VolumeDriver.Create", Name="data", Opts={}) == "", "the store"
        )
    assert node.mount("data") == ""
    assert [lease["node"] for lease in node.leases()] == ["a"]
    assert node.lives() == 1
