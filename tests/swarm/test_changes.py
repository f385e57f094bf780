"""What operators do to a cluster: drain a node, update a service, run two containers at once."""

import re
import time

import pytest

from tests.e2e.box import PATH, poll
from tests.e2e.engine import IMAGE
from tests.swarm.conftest import Swarm, Tell
from tests.swarm.writing import PATIENCE_S, check_handed_over

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.timeout(600)]


def run(volume: str, command: str) -> tuple[str, ...]:
    """Return the words that run a command in a container with the volume at /data."""
    return ("run", "--rm", "--network=none", "-v", f"{volume}:/data", IMAGE, "sh", "-c", command)


def test_shared_lets_two_nodes_write(swarm: Swarm) -> None:
    """With access=shared containers of two engines write to one volume at the same time."""
    create = ("volume", "create", "-d", "volplug", "-o", "access=shared", "both")
    swarm.one.docker(*create).ok()
    for member in (swarm.one, swarm.other):
        member.keep_running("c", "both", "--network=none")
    for member in (swarm.one, swarm.other, swarm.one):
        append = f"echo {member.name} >>/data/log"
        member.docker("exec", "both-c", "sh", "-c", append).ok()
    written = [swarm.one.name, swarm.other.name, swarm.one.name]
    for member in (swarm.one, swarm.other):
        log = ("exec", "both-c", "cat", "/data/log")
        # Gluster's client believes for a second in the size that it saw last.
        poll(lambda: member.docker(*log).ok().split() == written, "all lines", PATIENCE_S)  # noqa: B023  polled here
    for member in (swarm.one, swarm.other):
        member.docker("rm", "-f", "both-c").ok()


def test_single_writer_refuses_the_second(swarm: Swarm) -> None:
    """The second engine is told who has it since when; its container starts once that is gone."""
    swarm.one.docker("volume", "create", "-d", "volplug", "alone").ok()
    swarm.one.keep_running("c", "alone", "--network=none")
    swarm.one.docker("exec", "alone-c", "sh", "-c", "echo first >/data/log").ok()
    words = swarm.manager.docker(*run("alone", "true")).refused()
    held = rf"volume 'alone' is held by node '{swarm.one.name}' as single-writer since "
    assert re.search(held + r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(live\): ", words), words
    argv = ["docker", "-H", "unix:///run/docker.sock"]
    argv += run("alone", "echo second >>/data/log; cat /data/log")
    second = swarm.other.box.start("second", argv, {"PATH": PATH, "HOME": "/"})
    asked = ("ps", "--all", "--quiet", "--filter", "volume=alone")
    poll(lambda: bool(swarm.other.docker(*asked).ok()), "the second to be asked for", PATIENCE_S)
    swarm.one.docker("exec", "alone-c", "sh", "-c", "echo still >>/data/log").ok()
    assert second.code is None
    swarm.one.docker("rm", "-f", "alone-c").ok()
    assert second.wait(PATIENCE_S) == 0, second.log.read_text()
    assert second.log.read_text().split() == ["first", "still", "second"]


def test_a_node_is_drained(swarm: Swarm, tell: Tell) -> None:
    """The service moves without a failed write, and nothing of it stays on the node."""
    service, writer = swarm.create("drained")
    writer.goes_on()
    began_s = time.monotonic()
    swarm.set_availability(swarm.one, "drain")
    try:
        heir = service.writer_on(swarm.other)
        tell(f"{time.monotonic() - began_s:.1f} s from the order to the next writer's first line")
    finally:
        swarm.set_availability(swarm.one, "active")
    check_handed_over(service.log(swarm.other), writer, heir)
    assert not writer.failures() + heir.failures()
    assert not swarm.one.has_mounted(service.name)
    service.remove()


def test_start_first_is_refused_and_stop_first_moves(swarm: Swarm) -> None:
    """Start-first wants the volume twice: the new task is refused and the old one writes on."""
    service, writer = swarm.create("updated")
    here = f"node.hostname=={swarm.manager.name}"
    service.update(
        "--update-order=start-first",
        *("--constraint-rm=node.role==worker", f"--constraint-add={here}"),
    )
    held = f"volume 'updated' is held by node '{swarm.one.name}'"
    poll(lambda: held in service.tasks(), "the new task to be refused", PATIENCE_S)
    writer.goes_on()
    assert not writer.failures()
    service.update("--update-order=stop-first", "--force")
    heir = service.writer_on(swarm.manager)
    check_handed_over(service.log(swarm.manager), writer, heir)
    assert not writer.failures() + heir.failures()
    service.remove()
