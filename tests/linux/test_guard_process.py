"""The guard's process and its agent's side of it: its table, its death, its watchdog, its end."""

import os
import select
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.linux.guard_agent import LEASE, Agent
from tests.linux.guarded import HEALED_S, STOP_S, Guarded, alive, boottime_s
from tests.machine import need_root
from volplug.command import run
from volplug.deadline import deadline, wait_until
from volplug.errors import Unavailable
from volplug.event import Event
from volplug.guard import Level, State
from volplug.linux.guard import Post, wire
from volplug.linux.guard.alarm import Alarm
from volplug.linux.guard.seeking import START_S
from volplug.linux.guard.table import Entry, Table

_ENTRY = Entry("data", 7, 100.5, 9.0, 12.0, State.FROZEN, staged=True)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The file of a table with one record."""
    path = tmp_path / "table"
    table = Table(path, "boot-1", writable=True)
    table.write(_ENTRY)
    table.close()
    return path


def _read(path: Path, boot_id: str = "boot-1") -> list[Entry]:
    table = Table(path, boot_id, writable=False)
    try:
        return table.read()
    finally:
        table.close()


def test_table_survives_its_guard(table: Path) -> None:
    """What was written is read by the next one, and written on from there."""
    assert _read(table) == [_ENTRY]
    newer = [replace(_ENTRY, state=State.STOPPED), Entry("other", 8, 1.0, 9.0, 12.0)]
    again = Table(table, "boot-1", writable=True)
    for entry in newer:
        again.write(entry)
        again.write(entry)
    again.close()
    assert _read(table) == newer
    last = Table(table, "boot-1", writable=True)
    last.remove("data")
    last.remove("data")
    last.close()
    assert _read(table) == newer[1:]


def test_table_of_another_boot_is_empty(table: Path) -> None:
    """Whatever it armed died with the machine."""
    assert _read(table, "boot-2") == []
    Table(table, "boot-2", writable=True).close()
    assert _read(table, "boot-1") == []


@pytest.mark.parametrize("at", range(0, 56, 11))
def test_a_torn_record_is_passed_over(table: Path, at: int) -> None:
    """A byte that was not written yet spoils its own record only, and its predecessor holds."""
    content = bytearray(table.read_bytes())
    record = content[256:512]
    assert b"data" in record
    record[at] ^= 0x55
    content[512:768] = record
    table.write_bytes(content)
    assert _read(table) == [_ENTRY]


def test_alarm_rings_at_its_moment() -> None:
    """Not before it, at once for a moment that has passed, and never after it was taken back."""
    alarm = Alarm()
    try:
        at_s = boottime_s() + 0.2
        alarm.set(at_s)
        with deadline(20.0):
            wait_until(lambda: _rings(alarm), "the alarm", poll_s=0.001)
        assert boottime_s() >= at_s
        alarm.heard()
        assert not _rings(alarm)
        alarm.set(at_s)
        assert _rings(alarm)
        alarm.set(None)
        assert not _rings(alarm)
    finally:
        alarm.close()


def _rings(alarm: Alarm) -> bool:
    return bool(select.select([alarm.fd], [], [], 0)[0])


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """A post without a guard yet."""
    need_root()
    (tmp_path / "mounts").mkdir()
    guarded = Guarded(Post(tmp_path / "state", tmp_path / "mounts", "this boot"))
    yield guarded
    if guarded.line is None:
        try:
            guarded.line = wire.connect(guarded.post.directory, 10.0)
        except OSError:
            return
    guarded.end()


@pytest.fixture
def agent(guarded: Guarded) -> Iterator[Agent]:
    """An agent at the post, which has found no guard and started one."""
    agent = Agent(guarded.post)
    agent.client.begin([])
    guarded.line = wire.connect(guarded.post.directory, 10.0)
    yield agent
    agent.client.close()


@pytest.mark.root
def test_a_dead_guard_is_missed_at_once_and_replaced(agent: Agent, guarded: Guarded) -> None:
    """Until another one watches the same, this node says that nothing guards it."""
    agent.arm()
    assert agent.level() is Level.PROCESS
    before = guarded.process()
    agent.startable = False
    os.kill(before, signal.SIGKILL)
    agent.wait(Level.NONE)
    (guarded.post.directory / wire.TABLE).unlink()  # even if that is lost
    agent.startable = True
    agent.wait(Level.PROCESS)
    assert guarded.line is not None
    guarded.line.close()
    guarded.line = wire.connect(guarded.post.directory, 10.0)
    assert guarded.process() != before
    assert guarded.states() == {"data": (State.ACTIVE, False)}


@pytest.mark.root
def test_without_a_guard_nothing_is_begun_while_others_count_on_it(
    agent: Agent, guarded: Guarded
) -> None:
    """Mounts are refused until a renewal has said so; then they go on, and are armed later."""
    assert agent.level() is Level.PROCESS
    agent.startable = False
    os.kill(guarded.process(), signal.SIGKILL)
    with pytest.raises(Unavailable, match="guard"):
        agent.arm()
    agent.wait(Level.NONE)
    with pytest.raises(Unavailable, match="guard"):
        agent.arm()  # the renewal that was to say so may not have been heard
    agent.client.renewed()
    agent.arm()
    agent.startable = True
    agent.wait(Level.PROCESS)
    assert guarded.line is not None
    guarded.line.close()
    guarded.line = wire.connect(guarded.post.directory, 10.0)
    assert guarded.states() == {"data": (State.ACTIVE, False)}


@pytest.mark.root
def test_renewals_do_not_wait_for_a_guard_to_start(agent: Agent, guarded: Guarded) -> None:
    """Others would take a node for a dead one whose next renewal comes so late."""
    agent.arm()
    starting, leave = threading.Event(), threading.Event()

    def start() -> None:
        starting.set()
        leave.wait(60.0)
        raise Unavailable("no guard can be started")

    agent.start = start
    os.kill(guarded.process(), signal.SIGKILL)
    try:
        assert starting.wait(30.0)
        renewing = threading.Thread(target=agent.renew)
        renewing.start()
        renewing.join(START_S / 2)
        assert not renewing.is_alive()
    finally:
        leave.set()
    renewing.join(60.0)


@pytest.mark.root
def test_what_is_here_and_cannot_be_armed_is_no_guarded_node(agent: Agent) -> None:
    """A mount of before that came too late to be watched keeps the level at none while here."""
    agent.arm()
    assert agent.level() is Level.PROCESS
    agent.base_s -= HEALED_S / 2
    with pytest.raises(Unavailable, match="too late"):
        agent.client.adopt(replace(LEASE, volume="other"))
    agent.base_s = boottime_s()
    assert agent.level() is Level.NONE
    agent.client.renewed()
    assert agent.level() is Level.NONE
    agent.client.disarm("other")
    assert agent.level() is Level.PROCESS


@pytest.mark.root
def test_a_stop_stands_in_the_journal(agent: Agent) -> None:
    """Once, however often it is looked at, with the token that it was stopped under."""
    agent.arm()
    agent.client.lost()
    for _ in range(2):
        assert agent.client.has_stopped(LEASE)
    stops = [(one.volume, one.token) for one in agent.journal.entries() if one.event is Event.STOP]
    assert stops == [("data", 7)]


@pytest.mark.root
def test_a_late_grant_is_refused(agent: Agent) -> None:
    """Its own deadline has passed, so the volume is not even touched, and no program is begun."""
    agent.base_s -= HEALED_S / 2
    with pytest.raises(Unavailable, match="too late"):
        agent.arm()
    agent.base_s += HEALED_S / 2

    def mount() -> None:
        with agent.client.armed(LEASE):
            agent.base_s -= HEALED_S / 2  # as after a pause in between
            run(["true"])

    with pytest.raises(Unavailable, match="could not be renewed in time"):
        mount()


@pytest.mark.root
def test_what_is_armed_under_a_lost_lease_is_stopped(agent: Agent, guarded: Guarded) -> None:
    """An agent that comes back keeps what is its own, and has the rest stopped."""
    agent.arm()
    with agent.client.armed(replace(LEASE, volume="lost")):
        pass
    agent.client.close()
    again = Agent(guarded.post)
    again.client.begin([LEASE])
    try:
        guarded.wait("lost", State.STOPPED, done=True)
        assert guarded.states()["data"] == (State.ACTIVE, False)
        assert again.client.has_stopped(replace(LEASE, volume="lost"))
        assert not again.client.has_stopped(LEASE)
        again.client.disarm("lost")
        again.client.lost()
        guarded.wait("data", State.STOPPED, done=True)
    finally:
        again.client.close()


@pytest.mark.root
def test_guard_outlives_its_agent_while_anything_is_armed(agent: Agent, guarded: Guarded) -> None:
    """Told to end, by its agent or by a signal, it stays until nothing is armed, and then ends."""
    agent.arm()
    process = guarded.process()
    agent.client.close()
    os.kill(process, signal.SIGTERM)
    assert guarded.states() == {"data": (State.ACTIVE, False)}
    guarded.ask(do="disarm", volume="data", token=None)
    with deadline(20.0):
        wait_until(lambda: not alive(process), "its end")


@pytest.mark.root
@pytest.mark.parametrize("harmless", [True, False])
def test_watchdog_is_petted_while_the_guard_does_its_duty(
    guarded: Guarded, tmp_path: Path, harmless: bool
) -> None:
    """Level 2; a volume that is past its stop and may be written lets the machine be reset."""
    device = tmp_path / "watchdog"
    device.touch()
    guarded.post = replace(guarded.post, watchdog=device, watchdog_s=5)
    guarded.begin()
    assert guarded.ask(do="look")["level"] == Level.WATCHDOG
    guarded.arm("data", staged=harmless)  # not mounted: harmless only once it is known not to come
    guarded.wait("data", State.STOPPED, done=harmless)
    stopped = boottime_s()
    pets = device.stat().st_size
    with deadline(20.0):
        wait_until(
            lambda: device.stat().st_size > pets + 1 or boottime_s() > stopped + STOP_S,
            "pets, or none",
        )
    assert (device.stat().st_size > pets) is harmless


@pytest.mark.root
def test_no_watchdog_is_level_one(guarded: Guarded, tmp_path: Path) -> None:
    """A device that cannot be had is told, and the guard serves without it."""
    guarded.post = replace(guarded.post, watchdog=tmp_path / "none")
    guarded.begin()
    assert guarded.ask(do="look")["level"] == Level.PROCESS
    with deadline(20.0):
        wait_until(lambda: "no watchdog" in guarded.log(), "its words")


@pytest.mark.root
def test_nonsense_is_hung_up_on(guarded: Guarded) -> None:
    """A caller that makes no sense loses its line, and the others' go on."""
    guarded.begin()
    later = f'{{"do":"renew","base_s":{boottime_s() + 3600}}}'.encode()
    endless = b'{"do":"renew","base_s":Infinity}'
    for packet in (b"{", b"[]", b'{"do":"dance"}', b'{"do":"arm"}', later, endless):
        with wire.connect(guarded.post.directory, 10.0) as line:
            line.sendall(packet)
            assert line.recv(100) == b""
    assert guarded.states() == {}
