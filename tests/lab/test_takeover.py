"""A volume moves away from a node that stands still: over a fence, by itself, and losing nothing.

Two nodes with engines, etcd as their store, and a file server that can refuse one of them. A paused
machine is the worst case of a dead one: it wakes in the midst of a write, and knows nothing. What
is measured is printed: seconds of this machine's own clock, around guests that are emulated.
"""

import json
import re
import time
from collections.abc import Callable

import pytest

from tests.e2e.box import poll
from tests.lab.filer import Filer
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.swarm import (
    Failover,
    nothing_is_written_on_return,
    power_cut_under_a_service,
)
from tests.lab.writing import LOG, PATIENCE_S, Takeover, Writing, numbered, take_over

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

_KEY = "/etc/volplug/filer.key"
_VOLUME = "data"
_TAKEOVER_S = 60.0
"""What a takeover may take on a busy machine: 16 s of silence, the fence, a container's start."""


@pytest.fixture(scope="module")
def filer(lab: Lab) -> Filer:
    """A file server with an export per volume, that takes orders over ssh."""
    return lab.filer()


@pytest.fixture(scope="module")
def start(lab: Lab, filer: Filer) -> Callable[[Node], None]:
    """How all that a node of the cluster has is started; nobody waits for it."""
    store = lab.etcd().url

    def start(node: Node) -> None:
        node.write(f"{_KEY}.openssh", lab.key.read_text())
        node.shell("dropbearconvert openssh dropbear $0.openssh $0", _KEY)
        node.start_nfs_client()
        node.start_daemons(_config(filer, store))

    return start


@pytest.fixture(scope="module")
def nodes(lab: Lab, start: Callable[[Node], None]) -> tuple[Node, Node]:
    """Two nodes of one cluster, and a volume of the file server's for a single writer."""
    nodes = lab.node(), lab.node()
    for node in nodes:
        start(node)
    for node in nodes:
        node.wait_for_daemons()
    nodes[0].docker("volume", "create", "-d", "volplug", _VOLUME).ok()
    return nodes


def _config(filer: Filer, store: str) -> str:
    # A fence is several programs, each of which starts ten times slower on an emulated processor.
    return f"""
deadline_s = 90

[store]
kind = "etcd"
endpoints = ["{store}"]

[backends.fenced]
driver = "nfs-ganesha"
servers = ["{filer.address}"]
export = "{filer.pool}"
admin = ["dbclient", "-y", "-y", "-i", "{_KEY}", "root@{filer.address}"]
"""


@pytest.fixture(scope="module")
def writing(nodes: tuple[Node, Node]) -> Writing:
    """A writer on the first node."""
    node, _ = nodes
    return Writing.start(node, _VOLUME, "first")


@pytest.fixture(scope="module")
def takeover(nodes: tuple[Node, Node], writing: Writing) -> Takeover:
    """The first node stands still in the midst of writing, and the second starts a writer."""
    node, other = nodes
    writing.goes_on()
    node.pause()
    return take_over(other, _VOLUME, "second", writing)


def test_a_second_node_is_refused_while_the_first_writes(
    nodes: tuple[Node, Node], writing: Writing, tell: Callable[[str], None]
) -> None:
    """Its container does not start, and it is told who has the volume and since when."""
    node, other = nodes
    writing.goes_on()
    refused = other.in_container(_VOLUME, f"echo stray >{LOG}")
    assert f"volume '{_VOLUME}' is held by node '{node.name}'" in refused.refused()
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(live\)", refused.refused())
    tell(f"refused after {refused.seconds:.1f} s: {refused.refused()}")
    writing.goes_on()
    assert not writing.failures()


def test_a_volume_leaves_a_node_that_stands_still(
    nodes: tuple[Node, Node], takeover: Takeover, tell: Callable[[str], None]
) -> None:
    """The other node's container runs without anybody's help, and finds all that was safe."""
    node, other = nodes
    assert takeover.seconds < _TAKEOVER_S
    assert takeover.found == numbered("first", len(takeover.found))
    assert set(takeover.acknowledged) <= set(takeover.found)
    (condemned,) = json.loads(other.volplug("inspect", _VOLUME).ok())["condemned"]
    assert condemned["node"] == node.name
    assert condemned["by"] == f"volplug on node {other.name}"
    assert "lists nobody " in condemned["reason"]
    assert f"and not {node.address}: it refuses the node's next write" in condemned["reason"]
    tell(
        f"{takeover.seconds:.1f} s from the pause to the other container; "
        f"{len(takeover.acknowledged)} lines acknowledged, {len(takeover.found)} found; "
        f"condemned: {condemned['reason']}"
    )


def test_nothing_is_written_by_a_node_that_wakes(
    nodes: tuple[Node, Node],
    filer: Filer,
    writing: Writing,
    takeover: Takeover,
    tell: Callable[[str], None],
) -> None:
    """Its writer's next write fails, and so does every later one; the other's log stays exact."""
    node, _ = nodes
    count = len(writing.acknowledged())
    began_s = time.monotonic()
    node.resume()
    writing.wait(lambda: bool(writing.failures()), "to fail")
    failed_s = time.monotonic() - began_s
    first = writing.failures()[0]
    writing.wait(lambda: len(writing.failures()) > 10, "to go on failing")
    acknowledged = writing.acknowledged()
    assert set(acknowledged) <= set(takeover.found), "what was safe before the takeover only"
    takeover.by.goes_on()
    tell(
        f"failed {failed_s:.1f} s after the resume: {first}; "
        f"{len(acknowledged) - count} acknowledgements of before came late"
    )
    takeover.by.goes_on()
    by = takeover.by
    lines = by.lines()
    written = numbered(by.name, len(lines) - len(takeover.found))
    assert lines == [*takeover.found, *written]
    assert filer.find("log").read_text().splitlines()[: len(lines)] == lines
    assert not by.failures()


def test_a_node_that_wakes_serves_nothing_that_it_lost(
    nodes: tuple[Node, Node], takeover: Takeover, tell: Callable[[str], None]
) -> None:
    """Its volplug ends with its session, starts anew, and refuses the volume while it is held."""
    node, other = nodes
    ended = "no volume is served as this node's any more"
    poll(lambda: ended in node.said(), "the woken node's volplug to end", PATIENCE_S)
    node.wait_for("volplug leases --socket /run/docker/plugins/volplug.sock", "volplug", 240)
    refused = node.in_container(_VOLUME, f"echo stray >>{LOG}")
    assert f"volume '{_VOLUME}' is held by node '{other.name}'" in refused.refused()
    tell(f"the woken node refuses after {refused.seconds:.1f} s: {refused.refused()}")
    takeover.by.goes_on()
    assert not takeover.by.failures()


def test_the_volume_comes_back_to_a_node_that_woke(
    nodes: tuple[Node, Node], writing: Writing, takeover: Takeover, tell: Callable[[str], None]
) -> None:
    """Once neither node's writer is there any more, the first mounts it and reads all of it."""
    node, _ = nodes
    writing.end()
    takeover.by.end()
    lines = node.in_container(_VOLUME, f"cat {LOG}").ok().splitlines()
    written = takeover.by.acknowledged()
    rest = lines[len(takeover.found) :]
    assert lines[: len(takeover.found)] == takeover.found
    assert rest == numbered(takeover.by.name, len(rest))
    assert set(written) <= set(rest)
    tell(f"{len(lines)} lines read again on the first node")


@pytest.fixture(scope="module")
def failover(nodes: tuple[Node, Node]) -> Failover:
    """The power of the first node is cut under a service."""
    return power_cut_under_a_service(*nodes, "served")


def test_a_service_outlives_the_power_of_its_node(
    nodes: tuple[Node, Node], failover: Failover, tell: Callable[[str], None]
) -> None:
    """It goes on on the other node by itself, and finds all that was safe."""
    node, other = nodes
    (condemned,) = json.loads(other.volplug("inspect", "served").ok())["condemned"]
    assert condemned["node"] == node.name
    tell(f"{failover}; condemned: {condemned['reason']}")


def test_a_node_that_gets_its_power_back_writes_nothing(
    start: Callable[[Node], None], failover: Failover, tell: Callable[[str], None]
) -> None:
    """It is refused what it lost, and the service goes on."""
    tell(nothing_is_written_on_return("served", failover, start))
