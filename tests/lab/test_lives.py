"""SIGKILL at every step of a volume's life on a cloud's disk, which really comes and goes.

A volume's life is create, mount, unmount, expand, mount, unmount, remove. In a guest a volplug dies
at a step, the next one repeats the call and dies at the next step, and so on to the end: what a
death leaves behind is what the next one has to live with. What is left at the end is counted, in
the guest, at the simulator, and on the hypervisor's disk. `expand` is called while the volume is
nowhere: growing in use has tests of its own.
"""

import json
import socket
from collections.abc import Callable

import pytest

from tests.crashpoints import crashpoints
from tests.ebs.cloud import Cloud
from tests.ebs.cloud import running as ec2_running
from tests.lab import backends
from tests.lab.hypervisor import Hypervisor
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.vsphere.vcenter import NODES, build
from tests.vsphere.vcenter import running as vcenter_running

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1800)]

_LIVES_S = 1500.0


@pytest.fixture(scope="module")
def node(lab: Lab) -> Node:
    """A node without an engine, for a volplug that dies often."""
    node = lab.node()
    node.shell("modprobe -a vmw_pvscsi sd_mod")
    return node


def _all_lives(node: Node, tell: Callable[[str], None], *words: str) -> None:
    """Live in the node until every step was died at; nothing may be left of any life."""
    done = node.run("python3", "/seed/lives.py", *words, seconds=_LIVES_S)
    lives = [json.loads(line) for line in done.ok().splitlines()]
    died_at = [step for life in lives for step in life["died_at"]]
    assert sorted(died_at) == crashpoints()
    assert [life["left"] for life in lives] == [[]] * len(lives)
    tell(f"{len(died_at)} deaths in {len(lives)} lives took {done.seconds:.0f} s")


def test_ebs(
    node: Node, hypervisor: Hypervisor, door: socket.socket, tell: Callable[[str], None]
) -> None:
    """No volume is made twice, none is lost or left, and no attachment either."""
    with ec2_running(door, hypervisor.socket) as cloud:
        _adopt(cloud, hypervisor, node)
        node.write("/etc/volplug/volplug.toml", backends.ebs(node, door))
        _all_lives(node, tell, "1G", "2G", "backend=gold")
        assert not cloud.disks()
    assert not hypervisor.plugged()
    assert not hypervisor.images()


def _adopt(cloud: Cloud, hypervisor: Hypervisor, node: Node) -> None:
    name = cloud.instance()
    cloud.set(instance=name)
    hypervisor.adopt(name, node)


def test_vsphere(
    node: Node,
    hypervisor: Hypervisor,
    door: socket.socket,
    tmp_path_factory: pytest.TempPathFactory,
    tell: Callable[[str], None],
) -> None:
    """No disk is made twice, none is lost or left, neither its file nor in any machine."""
    place = tmp_path_factory.mktemp("vcenter")
    with vcenter_running(build(place), place, door, hypervisor.socket) as vcenter:
        vcenter.tell(machine=NODES[0], uuid=node.uuid)
        hypervisor.adopt(node.uuid, node)
        node.write("/etc/volplug/volplug.toml", backends.vsphere(node, door, vcenter))
        _all_lives(node, tell, "64M", "96M", "backend=gold")
        assert vcenter.nothing()
    assert not hypervisor.plugged()
    assert not hypervisor.images()
