"""Volumes on a real Gluster volume, through real Docker engines on two nodes."""

from collections.abc import Iterator

import pytest

from tests.e2e.engine import IMAGE, Node, need_engine
from tests.rigs.gluster import Gluster
from tests.rigs.network import Network

pytestmark = [pytest.mark.root, pytest.mark.engine]

_CONFIG = """\
default_backend = "gluster"
[backends.gluster]
driver = "glusterfs"
servers = ["{server}"]
volume = "{volume}"
ping_timeout_s = 5
"""


@pytest.fixture(scope="module")
def nodes(
    gluster: Gluster, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Node]]:
    """Lend two nodes that reach the Gluster volume, each with an engine and volplug."""
    need_engine()
    config = tmp_path_factory.mktemp("nodes") / "volplug.toml"
    config.write_text(_CONFIG.format(server=gluster.host.address, volume=gluster.volume))
    started: list[Node] = []
    try:
        for number in (21, 22):
            node = Node(f"node-{number}")
            started.append(node)
            network.join(node.box.pid, number)
            node.start_volplug(VOLPLUG_CONFIG=str(config))
            node.start_engine()
        yield started
    finally:
        for node in started:
            node.power_off()


def in_a_container(node: Node, volume: str, command: str) -> str:
    """Run a command in a container that has the volume at /data."""
    words = ("run", "--rm", "--network=none", "-v", f"{volume}:/data", IMAGE, "sh", "-c", command)
    return node.docker(*words).ok()


def test_second_node_reads_what_the_first_wrote(nodes: list[Node]) -> None:
    """What a container writes on one node, a container on another one reads, and writes to."""
    one, two = nodes
    for node in nodes:
        options = ("-d", "volplug", "-o", "backend=gluster", "-o", "access=shared")
        node.docker("volume", "create", *options, "g1").ok()
    in_a_container(one, "g1", "echo written on one > /data/file")
    assert in_a_container(two, "g1", "cat /data/file") == "written on one"
    in_a_container(two, "g1", "echo and on two >> /data/file")
    assert in_a_container(one, "g1", "wc -l < /data/file") == "2"


def test_inspect_tells_that_no_size_is_kept(nodes: list[Node]) -> None:
    """An operator reads what the driver knows."""
    one, _ = nodes
    one.docker("volume", "create", "-d", "volplug", "-o", "backend=gluster", "g2").ok()
    assert '"size_enforced": "none"' in one.volplug_command("inspect", "g2").ok()
    one.docker("volume", "rm", "g2").ok()


def test_mount_outlives_volplug(nodes: list[Node]) -> None:
    """The FUSE client goes on, and the container with it, when volplug is killed."""
    one, _ = nodes
    one.docker("volume", "create", "-d", "volplug", "-o", "backend=gluster", "g3").ok()
    one.keep_running("c", "g3")
    one.kill_volplug()
    one.docker("exec", "g3-c", "sh", "-c", "echo alive > /data/file").ok()
    assert one.docker("exec", "g3-c", "cat", "/data/file").ok() == "alive"
