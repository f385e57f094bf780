"""Whatever is killed, and whenever: the data stays, and the volume is free again afterwards."""

import pytest

from tests.e2e.box import poll
from tests.e2e.engine import IMAGE, Node

pytestmark = [pytest.mark.engine, pytest.mark.root]

ALONE = ("volume", "create", "-d", "volplug", "-o", "access=single-container")


def write(node: Node, container: str, word: str) -> None:
    """Append a word to the container's file."""
    node.docker("exec", container, "sh", "-c", f"echo {word} >> /data/file; sync").ok()


def read(node: Node, volume: str) -> list[str]:
    """Read the words in a volume's file with a container of its own."""
    run = ("run", "--rm", "-v", f"{volume}:/data", IMAGE)
    return node.docker(*run, "cat", "/data/file").ok().split()


def test_the_engine_is_killed(own_node: Node, name: str) -> None:
    """After `kill -9` the engine repeats the old mount ID and unmounts it once: nothing is left."""
    own_node.docker(*ALONE, name).ok()
    own_node.keep_running("a", name, "--restart=always")
    write(own_node, f"{name}-a", "before")
    own_node.kill_engine()
    own_node.start_engine()
    write(own_node, f"{name}-a", "after")
    assert name in own_node.docker("run", "--rm", "-v", f"{name}:/data", IMAGE, "true").refused()
    own_node.docker("rm", "-f", f"{name}-a").ok()
    assert read(own_node, name) == ["before", "after"]
    own_node.docker("volume", "rm", name).ok()


def test_the_engine_is_killed_and_its_container_removed(own_node: Node, name: str) -> None:
    """No Unmount ever comes for a container that is removed unstarted; the volume is freed."""
    own_node.stop_volplug()
    own_node.start_volplug(VOLPLUG_GRACE_S="1")
    own_node.docker(*ALONE, name).ok()
    own_node.keep_running("a", name)
    write(own_node, f"{name}-a", "before")
    own_node.kill_engine()
    own_node.start_engine()
    own_node.docker("rm", f"{name}-a").ok()
    again = ("run", "--rm", "-v", f"{name}:/data", IMAGE, "true")
    poll(lambda: own_node.docker(*again).code == 0, "the orphan to be released", seconds=60)
    assert read(own_node, name) == ["before"]


@pytest.mark.parametrize("backend", ["local", "loop"])
def test_the_node_loses_its_power(own_node: Node, name: str, backend: str) -> None:
    """After a power cut the data is there, and the use of the old boot holds nobody up."""
    size = ("-o", "size=64M") if backend == "loop" else ()
    own_node.docker(*ALONE, "-o", f"backend={backend}", *size, name).ok()
    own_node.keep_running("a", name)
    own_node.keep_running("b", f"{name}-other", "--restart=always", "--volume-driver=volplug")
    write(own_node, f"{name}-a", "before")
    own_node.reboot()
    own_node.start_volplug()
    own_node.start_engine()
    assert read(own_node, name) == ["before"]
    write(own_node, f"{name}-other-b", "restarted")
    own_node.docker("rm", f"{name}-a").ok()
    own_node.docker("volume", "rm", name).ok()


def test_volplug_is_killed(own_node: Node, name: str) -> None:
    """After `kill -9` the container writes on, and volplug still knows who has the volume."""
    own_node.docker(*ALONE, name).ok()
    own_node.keep_running("a", name)
    own_node.kill_volplug()
    write(own_node, f"{name}-a", "meanwhile")
    own_node.start_volplug()
    own_node.docker("volume", "inspect", name).ok()
    assert name in own_node.docker("run", "--rm", "-v", f"{name}:/data", IMAGE, "true").refused()
    write(own_node, f"{name}-a", "after")
    own_node.docker("rm", "-f", f"{name}-a").ok()
    assert read(own_node, name) == ["meanwhile", "after"]
    own_node.docker("volume", "rm", name).ok()


def test_volplug_is_stopped(own_node: Node, name: str) -> None:
    """SIGTERM ends it in time and unmounts nothing that a container uses."""
    own_node.docker(*ALONE, name).ok()
    own_node.keep_running("a", name)
    own_node.stop_volplug()
    write(own_node, f"{name}-a", "meanwhile")
    own_node.start_volplug()
    own_node.docker("rm", "-f", f"{name}-a").ok()
    assert read(own_node, name) == ["meanwhile"]
