"""Writers of a disk whose guard is dead and cannot be had, on the real kernel: the agent's part."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux.conftest import Machine
from tests.linux.guard_agent import LEASE, Agent
from tests.linux.guarded import (
    Guarded,
    Writer,
    alive,
    boottime_s,
    content,
    missing,
    stage,
    staged_again,
)
from volplug.deadline import deadline, wait_until
from volplug.event import Event
from volplug.guard import Level, State, Times
from volplug.linux import LinuxHost
from volplug.linux.guard import Post, wire
from volplug.session import silence_s

pytestmark = pytest.mark.root

_TIMES = Times(2.0, 4.0)
_OTHERS_S = silence_s(4000)
"""How long after its last renewal others wait for a node that may write for four seconds."""

_RENEWED = Times(4.0, 10.0)
_PATIENT = Times(1.0, 90.0)


class Alone:
    """A node with a volume and a writer on it, whose agent can be left without its guard."""

    def __init__(self, machine: Machine, host: LinuxHost, times: Times) -> None:
        machine.mount_dir.mkdir()
        self.threads = threading.active_count()
        self.machine = machine
        self.guarded = Guarded(Post(machine.base / "state", machine.mount_dir.resolve(), "boot-1"))
        self.agent = Agent(self.guarded.post, times=times)
        self.agent.client.begin([])
        data, other = (stage(host, machine.base, name, "ext4") for name in ("data", "other"))
        self.data = data
        self.writer, self.neighbour = self._writer(data), self._writer(other)
        assert self.agent.renew() is Level.PROCESS
        self.agent.arm()

    def _writer(self, directory: Path) -> Writer:
        writer = Writer(directory, self.machine.base / f"{directory.name}.words")
        self.guarded.writers.append(writer)
        return writer

    @property
    def image(self) -> Path:
        """The volume's disk."""
        return self.machine.base / "data.img"

    def lose_guard(self) -> None:
        """Kill the guard, and have no other one start."""
        self.agent.startable = False
        with wire.connect(self.guarded.post.directory, 10.0) as self.guarded.line:
            process = self.guarded.process()
        self.guarded.line = None
        os.kill(process, signal.SIGKILL)
        with deadline(20.0):
            wait_until(lambda: not alive(process), "its end", poll_s=0.01)

    def find_guard(self) -> None:
        """Have a guard start again, and wait for it."""
        self.agent.startable = True
        with deadline(60.0):
            wait_until(self._answers, "a guard", poll_s=0.05)

    def _answers(self) -> bool:
        if self.guarded.line is not None:
            return True
        try:
            self.guarded.line = wire.connect(self.guarded.post.directory, 10.0)
        except OSError:
            return False
        return True

    def wait_for_writes(self) -> None:
        """Wait until the writer gets on."""
        reached = len(self.writer.acknowledged())
        with deadline(20.0):
            wait_until(lambda: len(self.writer.acknowledged()) > reached + 20, "writes")
        assert not self.writer.failed()

    def wait_for_standstill(self) -> None:
        """Wait until no write is acknowledged any more, past the freeze, without an error."""
        counts: list[int] = []

        def is_still() -> bool:
            counts.append(len(self.writer.acknowledged()))
            late = boottime_s() > self.agent.base_s + _PATIENT.freeze_s
            return late and len(counts) > 5 and len(set(counts[-5:])) == 1

        with deadline(20.0):
            wait_until(is_still, "a standstill", poll_s=0.1)
        assert not self.writer.failed()

    def end(self) -> None:
        """End whatever of it runs; the tests' namespace is left by a process without threads."""
        self.agent.startable = False
        self.agent.client.close()
        self._answers()
        subprocess.run(["fsfreeze", "-u", self.data], check=False, capture_output=True)
        self.guarded.end()
        with deadline(20.0):
            wait_until(lambda: threading.active_count() <= self.threads, "the agent's end")


@pytest.fixture
def alone(machine: Machine, host: LinuxHost, request: pytest.FixtureRequest) -> Iterator[Alone]:
    """A node, with times of its own if the test says so."""
    alone = Alone(machine, host, getattr(request, "param", _PATIENT))
    yield alone
    alone.end()


@pytest.mark.parametrize("alone", [_TIMES], indirect=True)
def test_a_silent_nodes_writers_are_stopped_without_a_guard(alone: Alone, host: LinuxHost) -> None:
    """In time, for good, nothing else touched; the guard that comes too late finds it stopped."""
    alone.lose_guard()
    with deadline(60.0):
        wait_until(alone.writer.failed, "the writer's error", poll_s=0.01)
    assert alone.writer.acknowledged()[-1][1] <= alone.agent.base_s + _OTHERS_S
    before, reached = content(alone.image), len(alone.neighbour.acknowledged())
    assert alone.agent.client.has_stopped(LEASE)
    alone.agent.renew()
    os.sync()
    with deadline(20.0):
        wait_until(lambda: len(alone.neighbour.acknowledged()) > reached + 200, "the neighbour")
    assert content(alone.image) == before
    alone.find_guard()
    alone.guarded.wait("data", State.STOPPED, done=True)
    assert alone.agent.client.has_stopped(LEASE)
    stops = [each.volume for each in alone.agent.journal.entries() if each.event is Event.STOP]
    assert stops == ["data"]
    assert content(alone.image) == before
    alone.writer.end()
    host.unstage("data")
    again = staged_again(host, alone.machine.base, "ext4")
    assert missing(again, alone.writer) == []
    host.unstage("data")
    subprocess.run(["e2fsck", "-fn", alone.image], check=True, capture_output=True)


def test_a_renewal_thaws_what_the_agent_froze(alone: Alone) -> None:
    """It says that nothing guards this node, and from then on a silence stops nothing."""
    alone.lose_guard()
    alone.wait_for_standstill()
    assert alone.agent.renew() is Level.NONE
    alone.wait_for_writes()
    silent_s = alone.agent.base_s + _PATIENT.freeze_s + 1.0
    with deadline(20.0):
        wait_until(lambda: boottime_s() > silent_s, "a while")
    alone.wait_for_writes()
    alone.writer.end()
    assert missing(alone.data, alone.writer) == []


def test_a_guard_that_is_back_goes_on_where_the_agent_froze(alone: Alone) -> None:
    """It finds the same due, and a renewal that both hear of undoes what either did."""
    alone.lose_guard()
    alone.wait_for_standstill()
    alone.find_guard()
    alone.guarded.wait("data", State.FROZEN)
    alone.wait_for_standstill()
    alone.agent.renew()
    alone.guarded.wait("data", State.ACTIVE)
    alone.wait_for_writes()
    alone.writer.end()
    assert missing(alone.data, alone.writer) == []


@pytest.mark.parametrize("alone", [_RENEWED], indirect=True)
def test_a_guard_that_is_back_stops_nothing_that_was_renewed_meanwhile(alone: Alone) -> None:
    """However long ago its predecessor last heard of a renewal."""
    alone.lose_guard()
    end_s = alone.agent.base_s + _RENEWED.stop_s + 0.5

    def is_late() -> bool:
        alone.agent.renew()
        return boottime_s() > end_s

    with deadline(60.0):
        wait_until(is_late, "the old deadline", poll_s=0.2)
        alone.agent.startable = True
        wait_until(lambda: alone.agent.renew() is Level.PROCESS, "a guard", poll_s=0.2)
    alone.find_guard()
    assert alone.guarded.states() == {"data": (State.ACTIVE, False)}
    alone.wait_for_writes()


def test_a_lost_session_stops_the_writers_without_a_guard(alone: Alone) -> None:
    """At once, however much time there would be: others no longer wait for this node."""
    alone.lose_guard()
    alone.agent.client.lost()
    with deadline(20.0):
        wait_until(alone.writer.failed, "the writer's error", poll_s=0.01)
    assert alone.agent.client.has_stopped(LEASE)
