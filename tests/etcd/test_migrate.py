"""`volplug store migrate`, with real processes: from a node's own store into a cluster's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.agent import Agent
from tests.etcd.cluster import Cluster
from tests.etcd.test_two_nodes import clean_up
from tests.machine import need_root

pytestmark = pytest.mark.root


class Mover(Agent):
    """A node that begins with a store of its own, and is told of a cluster later."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        super().__init__(directory, VOLPLUG_NODE="a", VOLPLUG_WAIT_S="0.5")

    def told_of(self, cluster: Cluster, prefix: str) -> None:
        """Get a new configuration, which the next start and the commands go by."""
        self._settings |= {
            "VOLPLUG_STORE__KIND": "etcd",
            "VOLPLUG_STORE__ENDPOINTS": str(cluster.access).replace(", ", ","),
            "VOLPLUG_STORE__PREFIX": prefix,
        }

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command with the node's configuration."""
        environment = os.environ | self._settings
        environment["VOLPLUG_STATE_DIR"] = str(self.directory / "state")
        argv = [sys.executable, "-m", "volplug.cli", *words, "--table"]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)

    def names(self) -> list[str]:
        """List the volumes that the engine is told of."""
        answer = self.call("/VolumeDriver.List")
        assert answer is not None
        return [volume["Name"] for volume in answer["Volumes"]]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Mover]:
    """A node with a store of its own."""
    need_root()
    node = Mover(tmp_path / "a")
    yield node
    node.kill()
    clean_up(tmp_path)


def test_volumes_and_leases_move(node: Mover, cluster: Cluster, prefix: str) -> None:
    """Refused while volplug runs; told beforehand; then all is there, in use as it was."""
    node.start()
    for name in ("data", "logs"):
        assert node.call("/VolumeDriver.Create", Name=name) == {"Err": ""}
    assert node.call("/VolumeDriver.Mount", Name="data", ID="c1")
    (before,) = node.leases()
    assert "store.kind is" in node.run("store", "migrate").stderr
    node.told_of(cluster, prefix)
    assert "another volplug process" in node.run("store", "migrate").stderr
    node.kill()
    assert node.run("store", "migrate", "--dry-run").stdout == "to be moved: data, logs\n"
    done = node.run("store", "migrate")
    assert done.stdout == "moved: data, logs\n"
    assert done.stderr == "1 of 2: data with its lease\n2 of 2: logs\n"
    assert node.run("store", "migrate").stdout == "moved: no volumes\n"
    node.start()
    assert node.names() == ["data", "logs"]
    (after,) = node.leases()
    assert (after["volume"], after["node"]) == ("data", "a")
    assert after["token"] > before["token"]
    assert node.call("/VolumeDriver.Unmount", Name="data", ID="c1") == {"Err": ""}
