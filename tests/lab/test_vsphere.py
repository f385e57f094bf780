"""vSphere end to end: volplug, engines and stock kernels, under a vCenter that gives disks to them.

The nodes learn who they are from their firmware, as VMware's spells it. A fence is a power cut: the
machine is switched off for good, and then the disk is taken from it. What is measured is printed.
"""

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.lab import backends
from tests.lab import cluster as promises
from tests.lab.cluster import Cluster
from tests.lab.hypervisor import Hypervisor
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.swarm import (
    Failover,
    nothing_is_written_on_return,
    power_cut_under_a_service,
)
from tests.lab.writing import Takeover, Writing, numbered, take_over
from tests.vsphere.vcenter import NODES, Vcenter, build, running

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1800)]

_VOLUME = "data"


@pytest.fixture(scope="module")
def nodes(lab: Lab) -> tuple[Node, Node]:
    """Two guests, which boot side by side."""
    return lab.node(), lab.node()


@pytest.fixture(scope="module")
def vcenter(
    nodes: tuple[Node, Node],
    hypervisor: Hypervisor,
    door: socket.socket,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vcenter]:
    """A vCenter of which two machines are guests."""
    place = tmp_path_factory.mktemp("vcenter")
    with running(build(place), place, door, hypervisor.socket) as vcenter:
        for node, name in zip(nodes, NODES, strict=False):
            vcenter.tell(machine=name, uuid=node.uuid)
            hypervisor.adopt(node.uuid, node)
        yield vcenter


@pytest.fixture(scope="module")
def cluster(
    lab: Lab,
    hypervisor: Hypervisor,
    nodes: tuple[Node, Node],
    vcenter: Vcenter,
    door: socket.socket,
) -> Cluster:
    """Two machines with engines."""
    machines = nodes[0].uuid, nodes[1].uuid
    told = {node: backends.vsphere(node, door, vcenter) for node in nodes}
    return Cluster.start(lab, hypervisor, machines, told)


def test_what_one_node_wrote_the_other_reads(cluster: Cluster) -> None:
    """A volume's disk is formatted once, and its bytes go where the volume goes."""
    cluster.create(_VOLUME, backend="gold", size="256M")
    promises.bytes_move(cluster, _VOLUME)


@pytest.fixture(scope="module")
def writing(cluster: Cluster) -> Writing:
    """A writer on the first node."""
    return Writing.start(cluster.nodes[0], _VOLUME, "first")


@pytest.fixture(scope="module")
def takeover(cluster: Cluster, writing: Writing) -> Takeover:
    """The first node stands still in the midst of writing, and the second starts a writer."""
    node, other = cluster.nodes
    writing.goes_on()
    node.pause()
    return take_over(other, _VOLUME, "second", writing)


def test_a_second_node_is_refused_while_the_first_writes(
    cluster: Cluster, writing: Writing, tell: Callable[[str], None]
) -> None:
    """Its container does not start, and it is told who has the volume and since when."""
    tell(promises.second_node_is_refused(cluster, _VOLUME, writing))


def test_ext4_grows_under_a_writer(cluster: Cluster, writing: Writing) -> None:
    """The disk, the file system and the container's view of it grow, and no write fails."""
    node, _ = cluster.nodes
    assert promises.size_mib(writing) < 256
    node.volplug("expand", _VOLUME, "512M").ok()
    assert 400 < promises.size_mib(writing) <= 512
    writing.goes_on()
    assert not writing.failures()


def test_xfs_grows_under_a_writer(cluster: Cluster) -> None:
    """So does xfs, which knows another way."""
    node, _ = cluster.nodes
    cluster.create("other", backend="gold", size="320M", fstype="xfs")
    writing = Writing.start(node, "other", "xfs")
    writing.goes_on()
    node.volplug("expand", "other", "512M").ok()
    assert 400 < promises.size_mib(writing) <= 512
    writing.goes_on()
    assert not writing.failures()
    writing.end()


def test_a_volume_leaves_a_node_that_stands_still(
    cluster: Cluster,
    vcenter: Vcenter,
    takeover: Takeover,
    tell: Callable[[str], None],
) -> None:
    """It loses its power and then the disk, and the other node finds all that was safe."""
    node, other = cluster.nodes
    assert takeover.found == numbered("first", len(takeover.found))
    assert set(takeover.acknowledged) <= set(takeover.found)
    assert not node.has_power
    assert vcenter.power(NODES[0]) == "poweredOff"
    (disk,) = (disk for disk in vcenter.disks() if disk["name"].startswith(_VOLUME))
    assert disk["held_by"] == [NODES[1]]
    assert (other.uuid, disk["file"]) in cluster.hypervisor.plugged()
    found = promises.condemned(other, _VOLUME)
    assert found["node"] == node.name
    assert "was powered off, and then the disk" in found["reason"]
    tell(f"{takeover.seconds:.1f} s from the pause to the other container; {found['reason']}")


def test_the_survivor_goes_on(takeover: Takeover) -> None:
    """Its log holds what the first had made safe, then its own lines, and nothing else."""
    by = takeover.by
    by.goes_on()
    lines = by.lines()
    assert lines == [*takeover.found, *numbered(by.name, len(lines) - len(takeover.found))]
    assert not by.failures()
    by.end()


def test_nothing_is_left_when_the_volumes_are_deleted(cluster: Cluster, vcenter: Vcenter) -> None:
    """No disk at vCenter, none in a guest, no bytes on the hypervisor's disk."""
    _, other = cluster.nodes
    cluster.wait_until_free()
    other.docker("volume", "rm", _VOLUME).ok()
    assert [disk["name"] for disk in vcenter.disks() if disk["name"].startswith(_VOLUME)] == []
    other.shell("! ls /sys/block | grep sd; ! grep volplug.*/dev/sd /proc/mounts")


@pytest.fixture(scope="module")
def start(cluster: Cluster, vcenter: Vcenter, door: socket.socket) -> Callable[[Node], None]:
    """How all that a node of the cluster has is started; nobody waits for it."""

    def start(node: Node) -> None:
        cluster.start_daemons(node, backends.vsphere(node, door, vcenter))

    return start


@pytest.fixture(scope="module")
def third(
    lab: Lab, hypervisor: Hypervisor, vcenter: Vcenter, start: Callable[[Node], None]
) -> Node:
    """A node in the place of the first, which a fence left without power."""
    node = lab.node()
    vcenter.tell(machine=NODES[2], uuid=node.uuid)
    hypervisor.adopt(node.uuid, node)
    start(node)
    node.wait_for_daemons()
    return node


@pytest.fixture(scope="module")
def failover(cluster: Cluster, third: Node) -> Failover:
    """The power of the third node is cut under a service."""
    return power_cut_under_a_service(third, cluster.nodes[1], "served", backend="gold", size="256M")


def test_a_service_outlives_the_power_of_its_node(
    cluster: Cluster,
    vcenter: Vcenter,
    third: Node,
    failover: Failover,
    tell: Callable[[str], None],
) -> None:
    """It goes on on another node by itself, with the disk and all that was safe on it.

    A node without power may get it back at any time, so it is powered off for good all the same.
    """
    _, other = cluster.nodes
    assert vcenter.power(NODES[2]) == "poweredOff"
    (disk,) = (disk for disk in vcenter.disks() if disk["name"].startswith("served"))
    assert disk["held_by"] == [NODES[1]]
    found = promises.condemned(other, "served")
    assert found["node"] == third.name
    tell(f"{failover}; condemned: {found['reason']}")


def test_a_node_that_gets_its_power_back_writes_nothing(
    cluster: Cluster,
    vcenter: Vcenter,
    start: Callable[[Node], None],
    failover: Failover,
    tell: Callable[[str], None],
) -> None:
    """Switched on by its administrator, it is refused what it lost, and no disk comes to it."""
    before = cluster.hypervisor.plugged()

    def switch_on() -> None:
        vcenter.power_on(NODES[2])

    tell(nothing_is_written_on_return("served", failover, start, switch_on))
    assert cluster.hypervisor.plugged() == before
