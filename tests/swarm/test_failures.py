"""What breaks in a cluster, and what its services and their data come to.

Each time a task writes on the first worker and something happens to it; the second worker and the
manager are never touched, and a bystander on the manager must not notice anything. Tasks of the
Swarm are moved by the Swarm alone, and volumes by volplug alone: nobody here gives either a hint.
What is measured is printed; of the seconds most are the 16 for which a silent node is waited for.
"""

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.e2e.box import Result, poll
from tests.e2e.engine import IMAGE
from tests.swarm.conftest import Swarm, Tell
from tests.swarm.member import Member
from tests.swarm.writing import PATIENCE_S, Service, Writer, check_handed_over
from volplug.session import HOLD_MS, silence_s

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.timeout(600)]

_FAILOVER_S = 90.0
"""What a fail-over may take on a busy machine; 17 s were measured on an idle one."""


@pytest.fixture(scope="module")
def patient(swarm: Swarm) -> tuple[Service, Writer]:
    """A service that is moved to the second worker, and whose first task stops 64 s later.

    Its writer is deaf to SIGTERM. The Swarm waits 60 s for it, and then starts the next one anyway.
    """
    service = swarm.service("patient")
    here, there = (f"node.hostname=={one.name}" for one in (swarm.manager, swarm.other))
    writer = service.create(
        swarm.manager, constraint=here, stop_signal="SIGTERM", stop_grace_period="64s"
    )
    service.update("--update-order=stop-first", "--constraint-rm", here, "--constraint-add", there)
    poll(lambda: swarm.other.name in service.tasks(), "the next task to be assigned", PATIENCE_S)
    return service, writer


@pytest.fixture(scope="module")
def bystander(swarm: Swarm, patient: tuple[Service, Writer]) -> Writer:  # noqa: ARG001  begins now
    """A writer that nothing happens to."""
    here = f"node.hostname=={swarm.manager.name}"
    return swarm.service("bystander").create(swarm.manager, constraint=here)


@pytest.fixture(autouse=True)
def unmoved(swarm: Swarm, bystander: Writer) -> Iterator[None]:
    """Whatever a test does, the bystander goes on, and undisturbed volplugs keep their sessions."""
    yield
    bystander.goes_on()
    assert not bystander.failures()
    for member in (swarm.manager, swarm.other):
        assert "is served as this node's any more" not in member.volplug.log.read_text()


def holders(member: Member, volume: str) -> list[str]:
    """Return which nodes have a lease of the volume, as its volplug on a node tells; or nothing."""
    told = member.volplug_command("leases", volume)
    return [one["node"] for one in json.loads(told.stdout)] if told.code == 0 else []


def check_returned(swarm: Swarm, service: Service, *writers: Writer) -> None:
    """Fail unless the first worker is back with nothing of the service, and wrote nothing more."""
    node, heir = swarm.one, writers[-1]
    poll(lambda: swarm.is_ready(node), "the first worker to be back", PATIENCE_S)
    poll(lambda: not node.has_mounted(service.name), "its mount to be gone", PATIENCE_S)
    held = [swarm.other.name]
    poll(lambda: holders(node, service.name) == held, "its volplug to know the holder", PATIENCE_S)
    heir.goes_on()
    assert not heir.failures()
    check_handed_over(service.log(swarm.other), *writers)


def test_the_power_of_a_node_is_cut(swarm: Swarm, tell: Tell) -> None:
    """The service goes on elsewhere with all that was safe; the node returns and writes nothing."""
    service, writer = swarm.create("cut")
    writer.goes_on()
    began_s = time.monotonic()
    swarm.one.power_cut()
    heir = service.writer_on(swarm.other)
    seconds = time.monotonic() - began_s
    assert seconds < _FAILOVER_S
    tell(f"{seconds:.1f} s from the power cut to the next writer's first line")
    check_handed_over(service.log(swarm.other), writer, heir)
    acknowledged = writer.acknowledged()
    swarm.one.boot()
    check_returned(swarm, service, writer, heir)
    assert writer.acknowledged() == acknowledged
    service.remove()


def test_the_cable_of_a_node_is_pulled(swarm: Swarm, tell: Tell) -> None:
    """Its writer is cut off before the next one starts; each of its later writes fails."""
    service, writer = swarm.create("cable")
    writer.goes_on()
    began_s = time.monotonic()
    swarm.one.unplug()
    heir = service.writer_on(swarm.other)
    seconds = time.monotonic() - began_s
    assert seconds < _FAILOVER_S
    tell(f"{seconds:.1f} s from the pulled cable to the next writer's first line")
    acknowledged = writer.acknowledged()
    writer.fails()
    swarm.one.plug_in()
    check_returned(swarm, service, writer, heir)
    assert writer.acknowledged() == acknowledged
    service.remove()


def test_a_node_stands_still_and_wakes(swarm: Swarm, tell: Tell) -> None:
    """All that its writer gets when it wakes in mid-write are errors."""
    service, writer = swarm.create("still")
    writer.goes_on()
    began_s = time.monotonic()
    swarm.one.stop_everything()
    try:
        heir = service.writer_on(swarm.other)
        seconds = time.monotonic() - began_s
        assert seconds < _FAILOVER_S
        before = service.log(swarm.other)
        # Without its engine, which might stop the writer before it wrote.
        swarm.one.wake_everything(but="dockerd")
        writer.fails()
        tell(
            f"{seconds:.1f} s from the stop to the next writer's first line; "
            f"the first failure after the wake: {writer.failures()[0]}"
        )
        assert set(writer.acknowledged()) <= set(before), "only what was safe before the takeover"
    finally:
        swarm.one.wake_everything()  # else every test after this one fails too
    check_returned(swarm, service, writer, heir)
    service.remove()


def test_the_engine_of_a_node_is_killed(swarm: Swarm, tell: Tell) -> None:
    """Its container writes on undisturbed, and the next one waits until it is stopped."""
    service, writer = swarm.create("engine")
    swarm.one.kill_engine()
    poll(lambda: not swarm.is_ready(swarm.one), "the Swarm to notice", PATIENCE_S)
    swarm.set_availability(swarm.one, "pause")  # a task that is refused may be tried here next
    writer.goes_on()
    assert holders(swarm.other, service.name) == [swarm.one.name]
    assert not writer.failures()
    began_s = time.monotonic()
    swarm.one.start_engine()
    heir = service.writer_on(swarm.other)
    swarm.set_availability(swarm.one, "active")
    tell(f"{time.monotonic() - began_s:.1f} s from the engine's start to the next writer's line")
    assert not writer.failures()
    check_returned(swarm, service, writer, heir)
    service.remove()


def test_a_deaf_writer_has_a_long_grace(
    swarm: Swarm, patient: tuple[Service, Writer], tell: Tell
) -> None:
    """The next task's Mount, which comes before the first is gone, waits for that and is let in.

    The service stays to the end: its new task would be deaf for as long.
    """
    service, writer = patient
    heir = service.writer_on(swarm.other)
    check_handed_over(service.log(swarm.other), writer, heir)
    assert not writer.failures() + heir.failures()
    refusals = re.findall("HeldElsewhere: volume 'patient'", swarm.other.volplug.log.read_text())
    assert not refusals
    tell("the next task was let in by its first Mount")


def test_the_leader_of_the_store_is_killed(swarm: Swarm, tell: Tell) -> None:
    """New volumes and Mounts go on without it, after an election."""
    leader = swarm.store.leader()
    leader.kill()
    began_s = time.monotonic()
    service, writer = swarm.create("leaderless")
    tell(f"{time.monotonic() - began_s:.1f} s to a new service after the leader's end")
    swarm.store.start(leader)
    swarm.store.wait()
    writer.goes_on()
    assert not writer.failures()
    service.remove()


def test_the_store_has_no_majority(swarm: Swarm, tell: Tell) -> None:
    """Writers go on, new Mounts are refused with a sentence; once it is back nobody is moved."""
    service, writer = swarm.create("quorum")
    swarm.manager.docker("volume", "create", "-d", "volplug", "spare").ok()
    lost_s = time.monotonic()
    gone = swarm.store.members[:2]
    for member in gone:
        member.kill()
    told = set()
    while time.monotonic() - lost_s < silence_s(HOLD_MS):
        refused = _mount_on(swarm.manager, "spare")
        told.add(refused.refused())  # the member that is left may have a word of its own at first
    writer.goes_on()
    assert all("the store" in each for each in told), told
    assert any("no member of the store" in each for each in told), told
    tell(f"refused after {refused.seconds:.1f} s: {refused.refused()}")
    for member in gone:
        swarm.store.start(member)
    held = f"volume 'quorum' is held by node '{swarm.one.name}'"
    poll(
        lambda: held in _mount_on(swarm.manager, "quorum").refused(), "the store's word", PATIENCE_S
    )
    swarm.store.wait()
    _mount_on(swarm.manager, "spare").ok()
    writer.goes_on()
    assert not writer.failures(), "a majority that is back must not cost anybody a volume"
    assert holders(swarm.manager, "quorum") == [swarm.one.name]
    service.remove()


def _mount_on(member: Member, volume: str) -> Result:
    words = ("run", "--rm", "--network=none", "-v", f"{volume}:/data", IMAGE, "true")
    return member.docker(*words, seconds=PATIENCE_S)
