"""Real `volplug serve` processes that share a store and a directory, as nodes of one cluster do."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.agent import Agent
from tests.etcd.cluster import Cluster
from tests.machine import need_root
from volplug.deadline import deadline, wait_until
from volplug.session import HOLD_MS, silence_s

pytestmark = pytest.mark.root

_W_S = silence_s(HOLD_MS)
_LIMIT_S = _W_S + 30.0
"""Within W + 5 s is the promise, which bench/cluster.py keeps; a busy machine may take longer."""


class Node(Agent):
    """One node of the cluster: an agent with a store, a state directory and mounts of its own."""

    def __init__(self, directory: Path, name: str, cluster: Cluster, prefix: str) -> None:
        directory.mkdir()
        self.name = name
        super().__init__(
            directory,
            VOLPLUG_NODE=name,
            VOLPLUG_WAIT_S="0.5",
            VOLPLUG_STORE__KIND="etcd",
            VOLPLUG_STORE__ENDPOINTS=str(cluster.access).replace(", ", ","),
            VOLPLUG_STORE__PREFIX=prefix,
            VOLPLUG_BACKENDS__TREES__DRIVER="local",
            VOLPLUG_BACKENDS__TREES__ROOT=str(directory.parent / "shared"),
        )

    def mount(self, volume: str, mount_id: str = "c1") -> str:
        """Mount, and return the refusal, empty if there is none."""
        answer = self.call("/VolumeDriver.Mount", Name=volume, ID=mount_id)
        return "the connection broke" if answer is None else str(answer["Err"])

    def path(self, volume: str) -> Path:
        """Return where the volume is mounted here."""
        answer = self.call("/VolumeDriver.Path", Name=volume)
        assert answer is not None
        return Path(answer["Mountpoint"])

    def release(self, volume: str) -> str:
        """Attest that the holder is off, with the command of an operator; return the refusal."""
        words = ["lease", "release", volume, "--reason", "it was switched off"]
        done = subprocess.run(
            [sys.executable, "-m", "volplug.cli", *words, "--socket", str(self.socket)],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stderr

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, number)


@pytest.fixture
def nodes(cluster: Cluster, tmp_path: Path, prefix: str) -> Iterator[dict[str, Node]]:
    """Three nodes that run, and share a directory."""
    need_root()
    nodes = {name: Node(tmp_path / name, name, cluster, prefix) for name in "abc"}
    try:
        for node in nodes.values():
            node.start()
        yield nodes
    finally:
        for node in nodes.values():
            node.kill()
        clean_up(tmp_path)


def clean_up(directory: Path) -> None:
    """Unmount all that the nodes have mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for place in reversed([line.split()[4] for line in lines]):
        if place.startswith(f"{directory}/"):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)


def log_of(node: Node) -> str:
    """Return what a node has logged."""
    return node.log.read_text()


def test_one_node_at_a_time(nodes: dict[str, Node]) -> None:
    """A volume made on one node is there on all; mounted on one, it is refused on the others."""
    a, b, _ = nodes.values()
    assert a.call("/VolumeDriver.Create", Name="data") == {"Err": ""}
    answer = b.call("/VolumeDriver.Get", Name="data")
    assert answer is not None
    assert answer["Volume"]["Name"] == "data"
    assert a.mount("data") == ""
    assert "volume 'data' is held by node 'a' as single-writer since" in b.mount("data")
    removal = b.call("/VolumeDriver.Remove", Name="data")
    assert removal is not None
    assert "in use on node 'a'" in removal["Err"]
    assert a.call("/VolumeDriver.Unmount", Name="data", ID="c1") == {"Err": ""}
    with deadline(30.0):
        wait_until(lambda: b.mount("data") == "", "the hand-over", poll_s=0.05)


def test_shared_volumes_are_everywhere(nodes: dict[str, Node]) -> None:
    """What is shared is mounted on all nodes at once, and each sees what the others write."""
    a, b, c = nodes.values()
    created = a.call("/VolumeDriver.Create", Name="data", Opts={"access": "shared"})
    assert created == {"Err": ""}
    assert [node.mount("data") for node in (a, b, c)] == ["", "", ""]
    (a.path("data") / "from a").touch()
    assert [[file.name for file in node.path("data").iterdir()] for node in (b, c)] == [
        ["from a"],
        ["from a"],
    ]


def test_two_volplugs_cannot_be_one_node(
    nodes: dict[str, Node], cluster: Cluster, tmp_path: Path
) -> None:
    """A second volplug of a living node's name ends, with a sentence; the first one goes on."""
    prefix = nodes["a"]._settings["VOLPLUG_STORE__PREFIX"]
    twin = Node(tmp_path / "twin", "a", cluster, prefix)
    twin.start()
    try:
        with deadline(30.0):
            wait_until(lambda: "already run by another volplug" in log_of(twin), "the refusal")
    finally:
        twin.kill()
    nodes["a"].call("/VolumeDriver.Create", Name="data")
    assert nodes["a"].mount("data") == ""
    assert "taken over" not in log_of(nodes["a"])


def test_a_dead_and_a_stopped_node_are_replaced(nodes: dict[str, Node]) -> None:
    """Their volumes are taken on an operator's word once they were silent for W, not before.

    The one that was only stopped finds its session ended when it wakes: it begins a new one at
    once, and serves nothing that is not its own any more.
    """
    dead, stopped, taker = nodes.values()
    for node, volume in ((dead, "data"), (stopped, "logs")):
        node.call("/VolumeDriver.Create", Name=volume)
        assert node.mount(volume) == ""
    began_s = time.monotonic()
    dead.kill()
    stopped.send(signal.SIGSTOP)
    assert "is held by node 'a', which is alive" in taker.release("data")
    for volume in ("data", "logs"):
        with deadline(_LIMIT_S):
            wait_until(lambda: "alive" not in taker.release(volume), "W", poll_s=0.1)  # noqa: B023
        assert taker.mount(volume) == ""
        print(f"W {_W_S:.1f} s, {volume} mounted after {time.monotonic() - began_s:.1f} s")  # noqa: T201
    taken_s = time.monotonic() - began_s
    stopped.send(signal.SIGCONT)
    with deadline(60.0):
        wait_until(lambda: "was taken over" in log_of(stopped), "the end of the worker")
        wait_until(lambda: "held by node 'c'" in stopped.mount("logs"), "the refusal", poll_s=0.2)
    dead.start()
    assert "held by node 'c'" in dead.mount("data")
    assert taken_s > _W_S - 3.0
    assert re.search(r"lease taken volume=data node=a token=\d+ by=.+ reason=", log_of(taker))
