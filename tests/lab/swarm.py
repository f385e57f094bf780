"""A Swarm over two guests, and a service that must outlive the one it runs on.

What a task prints is kept by the engine beside it, and ends with that node's power. So a task tells
what it wrote through a pipe to its node's console, which is known whatever becomes of the node.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.node import IMAGE, PYTHON, Node
from tests.lab.writing import LOG, WRITER, Writing, numbered

_PORT = 2377
_NAME = "writing"
_TOLD = "/run/told"


@dataclass(frozen=True, slots=True)
class Failover:
    """How a service of a node's went on elsewhere: after how long, and what it found there."""

    node: Node
    seconds: float
    acknowledged: list[str]
    found: list[str]
    by: Writing

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.seconds:.1f} s from the power cut to the next task's first line; "
            f"{len(self.acknowledged)} lines acknowledged, {len(self.found)} found"
        )


def power_cut_under_a_service(node: Node, other: Node, volume: str, **options: str) -> Failover:
    """Cut the power of a node that a service writes on, and see it go on on the other one.

    Each line that was told to be safe is there then, none is there twice, none came later, and no
    write of the next task fails. The volume is made by the service, with these options.
    """
    _unite(other, node)
    for one in (node, other):
        one.shell("mkfifo $0", _TOLD)
        one.start(one.name, "sh", "-c", f"exec cat <>{_TOLD}")  # open on both ends, it never ends
    _availability(other, other, "drain")
    _create(other, volume, options)
    first, heir = (Writing(one, one.name) for one in (node, other))
    _wait_written(first, other)
    _availability(other, other, "active")
    first.goes_on()
    assert not heir.acknowledged() + first.failures()
    began_s = time.monotonic()
    node.power_off()
    _wait_written(heir, other)
    seconds = time.monotonic() - began_s
    found = _check_heir(heir, first)
    return Failover(node, seconds, first.acknowledged(), found, heir)


def nothing_is_written_on_return(
    volume: str,
    failover: Failover,
    start: Callable[[Node], None],
    switch_on: Callable[[], None] | None = None,
) -> str:
    """Let the node have its power back, and see it refused what it lost; return the refusal.

    Nobody tells its volplug what became of the volume. The service goes on elsewhere, and its log
    stays exact. `start` starts all that the node had, and waits for none of it; `switch_on` is for
    a cloud that must hear of the power.
    """
    node, heir = failover.node, failover.by
    first = Writing(node, node.name)
    (switch_on or node.power_on)()
    start(node)
    node.wait_for_daemons()
    refused = node.in_container(volume, f"echo stray >>{LOG}").refused()
    assert f"volume '{volume}' is held by node '{heir.node.name}'" in refused
    held = json.loads(node.volplug("node", "ls").ok())
    (mine,) = (one for one in held if one["node"] == node.name)
    assert (mine["quarantine"], mine["leases"]) == ("clean", 0)
    assert _check_heir(heir, first) == failover.found
    assert first.acknowledged() == failover.acknowledged
    return refused


def _check_heir(heir: Writing, first: Writing) -> list[str]:
    """Fail unless a task goes on after all that the first made safe; return what it found of it."""
    heir.goes_on()
    lines = _log(heir.node)
    found = [line for line in lines if line.startswith(f"{first.name} ")]
    assert lines == [
        *numbered(first.name, len(found)),
        *numbered(heir.name, len(lines) - len(found)),
    ]
    assert set(first.acknowledged()) <= set(found)
    assert not heir.failures()
    return found


def _unite(manager: Node, worker: Node) -> None:
    """Make a Swarm; its manager misses a worker after 15 s, which run beside volplug's 16."""
    for node in (manager, worker):
        node.docker("volume", "ls").ok()  # a socket plugin is reported once it was used (6.2)
    manager.docker("swarm", "init", *_own(manager)).ok()
    token = manager.docker("swarm", "join-token", "--quiet", "worker").ok()
    place = f"{manager.address}:{_PORT}"
    worker.docker("swarm", "join", f"--token={token}", *_own(worker), place).ok()


def _own(node: Node) -> tuple[str, str]:
    return f"--advertise-addr={node.address}", f"--listen-addr={node.address}:{_PORT}"


def _availability(manager: Node, node: Node, word: str) -> None:
    manager.docker("node", "update", "--availability", word, node.name).ok()


def _create(manager: Node, volume: str, options: dict[str, str]) -> None:
    """Create the service: one task, whose lines begin with the name of the node that it is on."""
    told = "".join(f",volume-opt={key}={value}" for key, value in options.items())
    mounts = [f"type=volume,source={volume},target=/data,volume-driver=volplug,volume-nocopy{told}"]
    mounts += [f"type=bind,source={place},target={place},readonly" for place in ("/usr", "/seed")]
    mounts += [f"type=bind,source={_TOLD},target=/told"]
    # fmt: off
    manager.docker(
        "service", "create", "--detach", "--no-resolve-image", "--name", _NAME, "--network=host",
        "--restart-delay=1s", "--stop-signal=SIGKILL", "--env=WRITER={{.Node.Hostname}}",
        *(f"--mount={mount}" for mount in mounts),
        IMAGE, "/bin/sh", "-c", f'exec {" ".join(PYTHON)} {WRITER} {LOG} "$WRITER" >/told 2>&1',
    ).ok()
    # fmt: on


def _wait_written(writing: Writing, manager: Node) -> None:
    """Return once a task has written; if none does, fail with what the Swarm tells of them all."""
    try:
        writing.wait(lambda: bool(writing.acknowledged()), "to write")
    except AssertionError as error:
        tasks = manager.docker("service", "ps", "--no-trunc", _NAME).stdout
        raise AssertionError(f"{error}:\n{tasks}") from None


def _log(node: Node) -> list[str]:
    """Return the lines of the volume, as the task on a node reads them."""
    label = f"label=com.docker.swarm.service.name={_NAME}"
    container = node.docker("ps", "--quiet", "--filter", label).ok()
    return node.docker("exec", container, "/bin/cat", LOG).ok().splitlines()
