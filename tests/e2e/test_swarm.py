"""Services of a Swarm of one node: tasks create their volumes themselves, with templated names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.box import poll
from tests.e2e.engine import IMAGE, Node

pytestmark = [pytest.mark.engine, pytest.mark.root]

STACK = Path(__file__).parents[2] / "deploy/stack.yaml"


@pytest.fixture(scope="module")
def manager(node: Node) -> Iterator[Node]:
    """Lend the module's node as a Swarm of one."""
    node.docker("volume", "ls").ok()  # a plugin that was not used yet is reported 20 s later
    local = ("--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1:2377")
    node.docker("swarm", "init", *local).ok()
    yield node
    node.docker("swarm", "leave", "--force").ok()


def running(node: Node, service: str) -> list[str]:
    """Return the containers of a service's running tasks."""
    label = f"label=com.docker.swarm.service.name={service}"
    return node.docker("ps", "-q", "--filter", label).ok().split()


def test_replicas_share_a_volume(manager: Node, name: str) -> None:
    """Two tasks on one node mount the same volume under two IDs."""
    mount = f"type=volume,source={name},target=/data,volume-driver=volplug"
    create = ("service", "create", "--detach", "--no-resolve-image", "--network=host")
    replicas = (f"--name={name}", "--replicas=2", "--stop-signal=SIGKILL", "--mount", mount)
    manager.docker(*create, *replicas, IMAGE, "sleep", "100000").ok()
    poll(lambda: len(running(manager, name)) == 2, "both tasks to run", seconds=60)
    one, other = running(manager, name)
    manager.docker("exec", one, "sh", "-c", "echo hello > /data/file").ok()
    assert manager.docker("exec", other, "cat", "/data/file").ok() == "hello"
    manager.docker("service", "rm", name).ok()
    poll(lambda: manager.docker("volume", "rm", name).code == 0, "the volume's end", seconds=60)


def test_the_example_stack_runs(manager: Node) -> None:
    """deploy/stack.yaml makes the volumes it says, and its tasks write to them."""
    stack = manager.directory / "stack.yaml"
    ours = STACK.read_text().replace("postgres:17", IMAGE).replace("busybox:1", IMAGE)
    stack.write_text(ours.replace(f"image: {IMAGE}\n    volumes", SLEEPS, 1))
    deploy = ("stack", "deploy", "--resolve-image=never", f"--compose-file={stack}", "shop")
    manager.docker(*deploy).ok()
    try:
        for service, tasks in (("shop_database", 1), ("shop_worker", 2)):
            poll(lambda: len(running(manager, service)) == tasks, f"{service} to run", seconds=60)  # noqa: B023  polled here
        found = manager.docker("volume", "ls", "-q", "--filter", "driver=volplug").ok().split()
        assert {"shop-data", "shop-scratch-1", "shop-scratch-2"} <= set(found)
    finally:
        # Swarm refuses to remove a network for as long as a task that ends is still on it.
        poll(lambda: manager.docker("stack", "rm", "shop").code == 0, "the stack to go", seconds=60)


SLEEPS = f"image: {IMAGE}\n    command: [sleep, '100000']\n    stop_signal: SIGKILL\n    volumes"
