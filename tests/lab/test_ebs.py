"""EBS end to end: volplug, engines and stock kernels, under an EC2 whose disks really come and go.

The nodes learn who they are from the metadata service, by the address they ask from. A fence is
DetachVolume by force: the node goes on, and its writes go nowhere. What is measured is printed.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.box import poll
from tests.ebs.cloud import Cloud, running
from tests.lab import backends
from tests.lab import cluster as promises
from tests.lab.cluster import Cluster
from tests.lab.hypervisor import Hypervisor
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.nvme_target import MODEL, nvme_target
from tests.lab.swarm import (
    Failover,
    nothing_is_written_on_return,
    power_cut_under_a_service,
)
from tests.lab.writing import LOG, PATIENCE_S, Takeover, Writing, numbered, take_over

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1800)]

_VOLUME = "data"
# What the kernel shows of an NVMe disk: model, serial number, and a count of the disks it has seen.
_SHOWN = "cd /sys/block/nvme[0-9]n[0-9]; cat device/model device/serial diskseq"


@pytest.fixture(scope="module")
def nodes(lab: Lab) -> tuple[Node, Node]:
    """Two guests, which boot side by side."""
    return lab.node(), lab.node()


@pytest.fixture(scope="module")
def cloud(hypervisor: Hypervisor, door: socket.socket) -> Iterator[Cloud]:
    """An EC2 whose instances are guests."""
    with running(door, hypervisor.socket) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def cluster(
    lab: Lab,
    hypervisor: Hypervisor,
    nodes: tuple[Node, Node],
    cloud: Cloud,
    door: socket.socket,
) -> Cluster:
    """Two instances with engines."""
    machines = cloud.instance(), cloud.instance()
    cloud.set(instances={node.address: name for node, name in zip(nodes, machines, strict=True)})
    for node, name in zip(nodes, machines, strict=True):
        hypervisor.adopt(name, node)
    told = {node: backends.ebs(node, door) for node in nodes}
    return Cluster.start(lab, hypervisor, machines, told)


def test_what_one_node_wrote_the_other_reads(cluster: Cluster) -> None:
    """A volume's disk is formatted once, and its bytes go where the volume goes."""
    cluster.create(_VOLUME, backend="gold", size="1G")
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
    node, _ = cluster.nodes
    node.start("expand", *node.volplug_words("expand", _VOLUME, "2G"))  # ends in the next test
    tell(promises.second_node_is_refused(cluster, _VOLUME, writing))


def test_growing_in_use_waits_for_the_disk(cluster: Cluster, writing: Writing) -> None:
    """A disk that does not show its new size is not grown, and the writer notices nothing.

    QEMU's NVMe disks never show one while they are plugged in; the next mount does the rest. What
    happens on a disk that shows it has a test below.
    """
    node, _ = cluster.nodes
    refused = re.compile(r"^expand: .*the disk /dev/nvme\d+n1 to show 2 GiB", re.MULTILINE)
    poll(lambda: bool(refused.search(node.said())), "the growth to be refused", PATIENCE_S)
    writing.goes_on()
    assert not writing.failures()


def test_a_volume_leaves_a_node_that_stands_still(
    cluster: Cluster, cloud: Cloud, takeover: Takeover, tell: Callable[[str], None]
) -> None:
    """Detached by force, it is attached to the other node, which finds all that was safe."""
    node, other = cluster.nodes
    assert takeover.found == numbered("first", len(takeover.found))
    assert set(takeover.acknowledged) <= set(takeover.found)
    (disk,) = cloud.disks()
    names = cluster.machines
    assert disk["holders"] == [names[1]]
    assert cluster.hypervisor.plugged() == [(names[1], disk["id"])]
    found = promises.condemned(other, _VOLUME)
    assert found["node"] == node.name
    lists = f"EC2 lists {disk['id']} at {names[0]} no more and has nothing to detach there"
    assert lists in found["reason"]
    tell(f"{takeover.seconds:.1f} s from the pause to the other container; {found['reason']}")


def test_the_disk_has_grown_when_it_is_mounted_again(takeover: Takeover) -> None:
    """What was ordered while another node had the volume is there on the next one."""
    assert 1700 < promises.size_mib(takeover.by) <= 2048


def test_a_node_that_wakes_writes_nothing(
    cluster: Cluster, writing: Writing, takeover: Takeover, tell: Callable[[str], None]
) -> None:
    """Its writer gets errors and nothing else, its disk is gone, and the other's log is exact."""
    node, _ = cluster.nodes
    began_s = time.monotonic()
    node.resume()
    writing.wait(lambda: len(writing.failures()) > 10, "to go on failing")
    seconds = time.monotonic() - began_s
    assert any("[Errno 5]" in failure for failure in writing.failures()), writing.failures()
    assert set(writing.acknowledged()) <= set(takeover.found), "what was safe before only"
    node.wait_for("! grep -qs vol /sys/class/nvme/*/serial", "the disk to be gone", PATIENCE_S)
    by = takeover.by
    by.goes_on()
    lines = by.lines()
    assert lines == [*takeover.found, *numbered(by.name, len(lines) - len(takeover.found))]
    assert not by.failures()
    tell(f"failing {seconds:.1f} s after the resume: {writing.failures()[0]}")


def test_the_volume_comes_back_to_a_node_that_woke(
    cluster: Cluster, writing: Writing, takeover: Takeover
) -> None:
    """Once the other has let go it mounts the volume anew, and reads all of it."""
    node, _ = cluster.nodes
    ended = "no volume is served as this node's any more"
    poll(lambda: ended in node.said(), "the woken node's volplug to end", PATIENCE_S)
    node.wait_for("volplug ls --socket /run/docker/plugins/volplug.sock", "volplug", PATIENCE_S)
    node.docker("rm", "-f", writing.name)
    takeover.by.end()
    cluster.wait_until_free()
    lines = node.in_container(_VOLUME, f"cat {LOG}").ok().splitlines()
    assert lines[: len(takeover.found)] == takeover.found
    assert set(takeover.by.acknowledged()) <= set(lines)


def test_nothing_is_left_when_the_volume_is_deleted(cluster: Cluster, cloud: Cloud) -> None:
    """No disk at EC2, none in a guest, no bytes on the hypervisor's disk."""
    cluster.wait_until_free()
    cluster.nodes[1].docker("volume", "rm", _VOLUME).ok()
    poll(lambda: not cloud.disks(), "EC2 to have no volume", PATIENCE_S)
    assert not cluster.hypervisor.images()
    for node in cluster.nodes:
        node.shell("! grep -s vol /sys/class/nvme/*/serial; ! grep volplug.*/dev/nvme /proc/mounts")


def test_a_disk_grows_under_a_writer(
    cluster: Cluster, cloud: Cloud, tell: Callable[[str], None]
) -> None:
    """ModifyVolume reaches the kernel, the file system and the container, and no write fails.

    Nobody attaches the disk anew: it is the same one for the kernel, with a new size.
    """
    node, other = cluster.nodes
    cluster.create("grown", backend="gold", size="1G")
    (disk,) = cloud.disks("grown")
    with nvme_target(node):
        writing = Writing.start(node, "grown", "grown")
        writing.goes_on()
        before = node.shell(_SHOWN)
        model, serial, _ = (line.strip() for line in before.splitlines())
        assert (model, serial) == (MODEL, disk["id"].replace("-", ""))
        assert promises.size_mib(writing) < 1024
        began_s = time.monotonic()
        node.volplug("expand", "grown", "2G").ok()
        seconds = time.monotonic() - began_s
        assert 1700 < promises.size_mib(writing) <= 2048
        assert node.shell(_SHOWN) == before
        writing.goes_on()
        assert not writing.failures()
        writing.end()
        cluster.wait_until_free()
    found = other.in_container("grown", f"cat {LOG}").ok().splitlines()
    assert found == numbered("grown", len(found))
    assert set(writing.acknowledged()) <= set(found)
    cluster.wait_until_free()
    node.docker("volume", "rm", "grown").ok()
    tell(f"{seconds:.1f} s for volplug expand, under a writer")


@pytest.fixture(scope="module")
def failover(cluster: Cluster) -> Failover:
    """The power of the first node is cut under a service."""
    return power_cut_under_a_service(*cluster.nodes, "served", backend="gold", size="1G")


def test_a_service_outlives_the_power_of_its_node(
    cluster: Cluster, cloud: Cloud, failover: Failover, tell: Callable[[str], None]
) -> None:
    """It goes on on the other node by itself, with the disk and all that was safe on it."""
    (disk,) = cloud.disks()
    assert disk["holders"] == [cluster.machines[1]]
    found = promises.condemned(cluster.nodes[1], "served")
    assert found["node"] == cluster.nodes[0].name
    tell(f"{failover}; condemned: {found['reason']}")


def test_a_node_that_gets_its_power_back_writes_nothing(
    cluster: Cluster, door: socket.socket, failover: Failover, tell: Callable[[str], None]
) -> None:
    """It is refused what it lost, no disk comes to it, and the service goes on."""

    def start(node: Node) -> None:
        cluster.start_daemons(node, backends.ebs(node, door))

    before = cluster.hypervisor.plugged()
    tell(nothing_is_written_on_return("served", failover, start))
    assert cluster.hypervisor.plugged() == before
