"""ONTAP end to end: volplug, engines and stock kernels on two nodes, and an array that is a guest.

What is a LUN map in the array's API is one in the kernel's target, and what is an export rule there
is one in its NFS server. What is measured is printed: seconds around emulated machines.
"""

import json
import re
import time
from collections.abc import Callable

import pytest

from tests.e2e.box import poll
from tests.lab.array import Array
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.swarm import (
    Failover,
    nothing_is_written_on_return,
    power_cut_under_a_service,
)
from tests.lab.writing import LOG, PATIENCE_S, Takeover, Writing, numbered, take_over

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1800)]

_VOLUME = "data"


@pytest.fixture(scope="module")
def array(lab: Lab) -> Array:
    """An array that serves LUNs and shares."""
    return lab.array()


@pytest.fixture(scope="module")
def start(lab: Lab, array: Array) -> Callable[[Node], None]:
    """How all that a node of the cluster has is started; nobody waits for it."""
    store = lab.etcd().url
    files = array.start_array()
    # An API's client alone takes seconds to come up on an emulated processor.
    settings = 'default_backend = "luns"\ndeadline_s = 90\n'
    settings += f'[store]\nkind = "etcd"\nendpoints = ["{store}"]\n{array.backends()}'

    def start(node: Node) -> None:
        for path, text in files.items():
            node.write(path, text)
        node.start_iscsi_client()
        node.start_nfs_client()
        node.start_daemons(settings)

    return start


@pytest.fixture(scope="module")
def nodes(lab: Lab, start: Callable[[Node], None]) -> tuple[Node, Node]:
    """Two nodes of one cluster, whose volumes are the array's."""
    nodes = lab.node(), lab.node()
    for node in nodes:
        start(node)
    for node in nodes:
        node.wait_for_daemons()
    return nodes


def test_a_share_moves(nodes: tuple[Node, Node], array: Array) -> None:
    """What a container wrote on one node another reads on the other, where it is let in now."""
    node, other = nodes
    options = ("-o", "backend=shares", "-o", "size=64M")
    node.docker("volume", "create", "-d", "volplug", *options, "photos").ok()
    node.in_container("photos", "echo from a container >/data/text; sync").ok()
    assert other.in_container("photos", "cat /data/text").ok() == "from a container"
    poll(lambda: not array.exports(), "both nodes to be let in no more", PATIENCE_S)
    node.docker("volume", "rm", "photos").ok()


def test_a_lun_moves(nodes: tuple[Node, Node], array: Array) -> None:
    """What a container wrote on one node another reads on the other, and each lets go of it."""
    node, other = nodes
    node.docker("volume", "create", "-d", "volplug", "-o", "size=64M", _VOLUME).ok()
    written = node.in_container(
        _VOLUME, "head -c 3000000 /dev/urandom >/data/random; sync; md5sum /data/random"
    ).ok()
    _wait_let_go(node, array)
    assert other.in_container(_VOLUME, "md5sum /data/random").ok() == written
    _wait_let_go(other, array)


def _wait_let_go(node: Node, array: Array) -> None:
    """Return when a node has no session and no disk, and the array maps nothing."""
    poll(lambda: array.counts() == {"luns": 1, "maps": 0}, "the LUN to be unmapped", PATIENCE_S)
    assert node.left_of_iscsi() == []


@pytest.fixture(scope="module")
def writing(nodes: tuple[Node, Node]) -> Writing:
    """A writer on the first node."""
    return Writing.start(nodes[0], _VOLUME, "first")


@pytest.fixture(scope="module")
def takeover(nodes: tuple[Node, Node], writing: Writing) -> Takeover:
    """The first node stands still in the midst of writing, and the second starts a writer."""
    node, other = nodes
    writing.goes_on()
    node.pause()
    return take_over(other, _VOLUME, "second", writing)


def test_a_second_node_is_refused_while_the_first_writes(
    nodes: tuple[Node, Node], array: Array, writing: Writing, tell: Callable[[str], None]
) -> None:
    """Its container does not start, it is told who has the volume, and nothing was mapped to it."""
    node, other = nodes
    writing.goes_on()
    refused = other.in_container(_VOLUME, f"echo stray >{LOG}").refused()
    assert f"volume '{_VOLUME}' is held by node '{node.name}'" in refused
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(live\)", refused)
    assert array.counts() == {"luns": 1, "maps": 1}
    assert other.left_of_iscsi() == []
    tell(refused)
    writing.goes_on()
    assert not writing.failures()


def test_a_lun_grows_in_use(nodes: tuple[Node, Node], writing: Writing) -> None:
    """FlexVol, LUN, disk and file system, under a writer that notices nothing."""
    node, _ = nodes
    assert _size_mib(writing) < 64
    node.volplug("expand", _VOLUME, "256M").ok()
    assert 200 < _size_mib(writing) <= 256
    writing.goes_on()
    assert not writing.failures()


def _size_mib(writing: Writing) -> int:
    told = writing.node.docker("exec", writing.name, "/bin/df", "-m", "/data").ok()
    return int(told.splitlines()[-1].split()[1])


def test_a_lun_leaves_a_node_that_stands_still(
    nodes: tuple[Node, Node], array: Array, takeover: Takeover, tell: Callable[[str], None]
) -> None:
    """Unmapped from it, the LUN is mapped to the other, which finds all that was safe."""
    node, other = nodes
    assert takeover.found == numbered("first", len(takeover.found))
    assert set(takeover.acknowledged) <= set(takeover.found)
    assert array.counts() == {"luns": 1, "maps": 1}
    (found,) = json.loads(other.volplug("inspect", _VOLUME).ok())["condemned"]
    assert found["node"] == node.name
    assert re.search(rf"lists no LUN map of \S+ \(serial \w+\) that holds {node.initiator}, ",
                     found["reason"])  # fmt: skip
    tell(
        f"{takeover.seconds:.1f} s from the pause to the other container; "
        f"{len(takeover.acknowledged)} lines acknowledged, {len(takeover.found)} found; "
        f"condemned: {found['reason']}"
    )


def test_a_node_that_wakes_writes_nothing(
    nodes: tuple[Node, Node],
    writing: Writing,
    takeover: Takeover,
    tell: Callable[[str], None],
) -> None:
    """Its writer gets errors and nothing else, and the other's log stays exact."""
    node, other = nodes
    began_s = time.monotonic()
    node.resume()
    writing.wait(lambda: len(writing.failures()) > 10, "to go on failing")
    tell(f"{time.monotonic() - began_s:.1f} s after the resume: {writing.failures()[:2]}")
    assert set(writing.acknowledged()) <= set(takeover.found), "what was safe before only"
    by = takeover.by
    by.goes_on()
    lines = other.docker("exec", by.name, "/bin/cat", LOG).ok().splitlines()
    assert lines == [*takeover.found, *numbered(by.name, len(lines) - len(takeover.found))]
    assert not by.failures()


def test_a_node_that_woke_gets_the_lun_back(
    nodes: tuple[Node, Node], array: Array, writing: Writing, takeover: Takeover
) -> None:
    """Once no writer is there, it forgets the disk that it lost, and reads all of both logs."""
    node, other = nodes
    writing.end()
    takeover.by.end()
    _wait_let_go(other, array)
    poll(lambda: node.left_of_iscsi() == [], "the woken node to let go", PATIENCE_S)
    lines = node.in_container(_VOLUME, f"cat {LOG}").ok().splitlines()
    assert lines[: len(takeover.found)] == takeover.found
    assert set(takeover.by.acknowledged()) <= set(lines)
    _wait_let_go(node, array)
    node.docker("volume", "rm", _VOLUME).ok()
    assert array.counts() == {"luns": 0, "maps": 0}


@pytest.fixture(scope="module")
def failover(nodes: tuple[Node, Node]) -> Failover:
    """The power of the first node is cut under a service."""
    return power_cut_under_a_service(*nodes, "served", size="64M")


def test_a_service_outlives_the_power_of_its_node(
    nodes: tuple[Node, Node], array: Array, failover: Failover, tell: Callable[[str], None]
) -> None:
    """It goes on on the other node by itself, with the LUN and all that was safe on it."""
    node, other = nodes
    assert array.counts() == {"luns": 1, "maps": 1}
    (found,) = json.loads(other.volplug("inspect", "served").ok())["condemned"]
    assert found["node"] == node.name
    tell(f"{failover}; condemned: {found['reason']}")


def test_a_node_that_gets_its_power_back_writes_nothing(
    array: Array,
    start: Callable[[Node], None],
    failover: Failover,
    tell: Callable[[str], None],
) -> None:
    """It is refused what it lost, nothing is mapped to it, and the service goes on."""
    tell(nothing_is_written_on_return("served", failover, start))
    assert array.counts() == {"luns": 1, "maps": 1}
    assert failover.node.left_of_iscsi() == []
