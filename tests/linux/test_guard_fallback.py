"""What an agent does itself while no guard answers, on a clock turned by hand."""

import pytest

from volplug.guard import Armed, State, Times
from volplug.linux.guard.fallback import Duty, Fallback
from volplug.testing import FakeClock

_TIMES = Times.of(12_000)
_DATA = ("data", 7)


class Recorder:
    """A stopper that notes what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.staged = False
        self.works = True

    def freeze(self) -> None:
        """Note it."""
        self.told.append("freeze")

    def thaw(self) -> None:
        """Note it."""
        self.told.append("thaw")

    def stop(self) -> bool:
        """Note it, and say whether it worked."""
        self.told.append("stop")
        return self.works


class Agent:
    """An agent with one volume, whose last renewal was sent at zero."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.mine = {"data": (7, True)}
        self.base_s = self.heard_s = 0.0
        self.alone = False
        self.stoppers: dict[tuple[str, int], Recorder] = {}
        self.changes: list[State] = []
        self.fallback = Fallback(self.clock, _TIMES, self._stopper, self._note)

    def _stopper(self, volume: str, token: int) -> Recorder:
        self.stoppers[volume, token] = Recorder()
        return self.stoppers[volume, token]

    def _note(self, armed: Armed, _: Exception | None) -> None:
        self.changes.append(armed.state)

    def duty(self) -> Duty:
        """Return what there is to see to now."""
        return Duty(dict(self.mine), self.base_s, self.heard_s, self.alone)

    def at(self, moment_s: float) -> float | None:
        """Let time pass to a moment, and attend to what is due then."""
        self.clock.sleep(moment_s - self.clock.now())
        return self.fallback.attend(self.duty())

    def renew(self) -> None:
        """Have a renewal acknowledged that was sent now, which says that there is no guard."""
        self.base_s = self.clock.now()
        self.alone = False
        self.fallback.attend(self.duty())

    def told(self) -> list[str]:
        """Return what the volume's stopper was told; nothing if there is none."""
        return self.stoppers[_DATA].told if _DATA in self.stoppers else []


@pytest.fixture
def agent() -> Agent:
    """An agent."""
    return Agent()


@pytest.fixture
def alone(agent: Agent) -> Agent:
    """An agent whose guard has died one second ago, and whose store is away."""
    agent.alone = True
    assert agent.at(1.0) == _TIMES.freeze_s
    assert agent.told() == []
    return agent


def test_with_a_guard_it_does_nothing(agent: Agent) -> None:
    """However late it is: that is the guard's to see to."""
    assert [agent.at(moment_s) for moment_s in (1.0, 9.0, 12.0, 60.0)] == [None] * 4
    assert agent.told() == []
    assert agent.fallback.stopped == frozenset()


def test_alone_it_freezes_and_stops_at_the_guards_moments(alone: Agent) -> None:
    """At D1 and at D2, counted from the last renewal, and not from the guard's death."""
    assert alone.at(8.99) == 9.0
    assert alone.told() == []
    assert alone.at(9.0) == 12.0
    assert alone.told() == ["freeze"]
    assert alone.at(11.99) == 12.0
    assert alone.fallback.stopped == frozenset()
    assert alone.at(12.0) is None
    assert alone.told() == ["freeze", "stop"]
    assert alone.fallback.stopped == {_DATA}
    assert alone.changes == [State.FROZEN, State.STOPPED]


@pytest.mark.parametrize(("died_s", "expected"), [(10.0, ["freeze"]), (13.0, ["stop"])])
def test_what_is_due_already_is_done_at_once(
    agent: Agent, died_s: float, expected: list[str]
) -> None:
    """A guard that died after D1 may not have come to it."""
    agent.alone = True
    agent.at(died_s)
    assert agent.told() == expected


def test_a_stop_is_repeated_until_it_has_worked(alone: Agent) -> None:
    """And counts as stopped from its beginning on: nothing under that token comes back."""
    alone.at(9.0)
    alone.stoppers[_DATA].works = False
    again_s = alone.at(12.0)
    assert again_s is not None
    assert again_s <= 12.2
    assert alone.fallback.stopped == {_DATA}
    alone.renew()
    alone.stoppers[_DATA].works = True
    assert alone.at(12.5) is None
    assert alone.told()[-1] == "stop"
    assert "thaw" not in alone.told()
    told = len(alone.told())
    alone.at(60.0)
    assert len(alone.told()) == told


def test_an_acknowledged_renewal_thaws_and_ends_the_duty(alone: Agent) -> None:
    """From then on nobody counts on a guard here, and a silence stops nothing."""
    alone.at(9.0)
    alone.at(10.0)
    alone.renew()
    assert alone.told() == ["freeze", "thaw"]
    assert alone.at(60.0) is None
    assert alone.told() == ["freeze", "thaw"]


def test_a_renewal_that_said_the_old_level_moves_the_deadline(alone: Agent) -> None:
    """Others still count on a guard, from that sending on."""
    alone.at(9.5)
    alone.base_s = 8.0
    assert alone.at(10.0) == 17.0
    assert alone.told() == ["freeze", "thaw"]
    assert alone.at(17.0) == 20.0
    assert alone.told() == ["freeze", "thaw", "freeze"]


def test_what_it_froze_it_sees_through_when_a_guard_is_back(alone: Agent) -> None:
    """That guard does the same: it has heard of no later renewal. Either may thaw, or stop."""
    alone.at(9.0)
    alone.alone = False
    assert alone.at(10.0) == 12.0
    alone.base_s = 10.0
    alone.at(10.0)
    assert alone.told() == ["freeze", "thaw"]
    assert alone.at(60.0) is None


def test_a_guard_that_is_back_in_time_has_it_all(alone: Agent) -> None:
    """What was not begun is the guard's again; and its next death is no other than the first."""
    alone.alone = False
    assert alone.at(8.0) is None
    assert alone.at(13.0) is None
    assert alone.told() == []
    alone.base_s = alone.heard_s = 13.0
    alone.alone = True
    assert alone.at(14.0) == 22.0


def test_a_volume_that_left_is_let_go(alone: Agent) -> None:
    """Thawed, so that it can be unmounted; a later token's deadline is its own."""
    alone.at(9.0)
    alone.mine = {}
    assert alone.at(9.1) is None
    assert alone.told() == ["freeze", "thaw"]
    alone.mine = {"data": (8, False)}
    alone.base_s = 10.0
    assert alone.at(10.0) == 19.0
    assert not alone.stoppers["data", 8].staged
    alone.mine = {"data": (8, True)}
    alone.at(11.0)
    assert alone.stoppers["data", 8].staged


def test_what_the_guard_may_have_frozen_is_thawed(agent: Agent) -> None:
    """It froze, and died before it heard of the renewal that would have made it thaw."""
    agent.clock.sleep(10.0)
    agent.base_s, agent.alone = 9.9, True
    agent.at(10.0)
    assert agent.told() == ["thaw"]


def test_a_lost_session_stops_everything(agent: Agent) -> None:
    """Whatever the clock says, and whoever counted on what."""
    agent.fallback.stop_all(agent.duty())
    assert agent.told() == ["stop"]
    assert agent.fallback.stopped == {_DATA}
