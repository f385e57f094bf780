"""The guard's rules, on a clock turned by hand: what freezes, what thaws, what never comes back."""

from collections.abc import Callable

import pytest

from volplug.guard import Armed, Guard, Late, State, Times, has_to_be_armed
from volplug.testing import FakeClock
from volplug.volume import AccessMode

_TIMES = Times.of(12_000)


class Recorder:
    """A stopper that notes what it was told; what `broken` names fails."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.broken: set[str] = set()
        self.works = True

    def freeze(self) -> None:
        """Note it."""
        self._note("freeze")

    def thaw(self) -> None:
        """Note it."""
        self._note("thaw")

    def stop(self) -> bool:
        """Note it, and say whether it worked."""
        self._note("stop")
        return self.works

    def _note(self, what: str) -> None:
        self.told.append(what)
        if what in self.broken:
            raise OSError(what)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def guard(clock: FakeClock) -> Guard:
    """A guard of nothing yet."""
    return Guard(clock)


@pytest.fixture
def data(guard: Guard) -> Recorder:
    """The stopper of a volume that is armed under token 7 since now."""
    stopper = Recorder()
    guard.arm("data", 7, _TIMES, 0.0, stopper)
    return stopper


def _pass(clock: FakeClock, guard: Guard, until_s: float) -> None:
    """Let time pass as a guard that sleeps until something is due."""
    while clock.now() < until_s:
        next_s = guard.tick()
        step_s = until_s if next_s is None else min(until_s, max(next_s, clock.now()))
        clock.sleep(max(step_s - clock.now(), 1e-9))
    guard.tick()


def _state(guard: Guard, token: int = 7) -> State:
    armed = guard.get("data", token)
    assert armed is not None
    return armed.state


def test_times_are_the_default_profile() -> None:
    """Of twelve seconds of hold, nine pass before the freeze and all before the stop."""
    assert Times(9.0, 12.0) == _TIMES


def test_silence_freezes_then_stops(clock: FakeClock, guard: Guard, data: Recorder) -> None:
    """Without a renewal a volume is frozen at D1 and stopped at D2, each once and not before."""
    _pass(clock, guard, 8.999)
    assert (_state(guard), data.told) == (State.ACTIVE, [])
    _pass(clock, guard, 9.0)
    assert (_state(guard), data.told) == (State.FROZEN, ["freeze"])
    _pass(clock, guard, 11.999)
    assert data.told == ["freeze"]
    _pass(clock, guard, 12.0)
    assert (_state(guard), data.told) == (State.STOPPED, ["freeze", "stop"])
    _pass(clock, guard, 60.0)
    assert data.told == ["freeze", "stop"]


def test_the_next_moment_is_told(clock: FakeClock, guard: Guard, data: Recorder) -> None:
    """A guard sleeps until D1, then until D2, then for ever."""
    assert data.told == []
    assert guard.tick() == 9.0
    guard.renew(2.0)
    assert guard.tick() == 11.0
    clock.sleep(11.0)
    assert guard.tick() == 14.0
    clock.sleep(3.0)
    assert guard.tick() is None


def test_renewals_keep_it_going(clock: FakeClock, guard: Guard, data: Recorder) -> None:
    """As long as each renewal was sent within nine seconds, nothing is touched."""
    for moment in range(3, 120, 3):
        _pass(clock, guard, moment)
        guard.renew(moment - 0.5)
    assert data.told == []


def test_a_renewal_in_time_thaws(clock: FakeClock, guard: Guard, data: Recorder) -> None:
    """What is frozen goes on when a renewal arrives that was itself sent recently enough."""
    _pass(clock, guard, 10.0)
    guard.renew(9.5)
    assert (_state(guard), data.told) == (State.ACTIVE, ["freeze", "thaw"])
    _pass(clock, guard, 18.4)
    assert data.told == ["freeze", "thaw"]
    _pass(clock, guard, 18.5)
    assert data.told == ["freeze", "thaw", "freeze"]


def test_a_renewal_sent_long_ago_only_delays_the_stop(
    clock: FakeClock, guard: Guard, data: Recorder
) -> None:
    """Acknowledged late, it counts from its first sending: no thaw, and a later stop."""
    _pass(clock, guard, 11.0)
    guard.renew(2.0)
    assert (_state(guard), data.told) == (State.FROZEN, ["freeze"])
    _pass(clock, guard, 13.9)
    assert data.told == ["freeze"]
    _pass(clock, guard, 14.0)
    assert data.told == ["freeze", "stop"]


def test_an_older_renewal_changes_nothing(clock: FakeClock, guard: Guard, data: Recorder) -> None:
    """Answers may arrive out of order: the newest first sending counts."""
    guard.renew(5.0)
    guard.renew(3.0)
    _pass(clock, guard, 13.9)
    assert data.told == []
    guard.renew(4.9)
    _pass(clock, guard, 14.0)
    assert data.told == ["freeze"]


@pytest.mark.parametrize("late_s", [12.0, 12.001, 500.0])
def test_stopped_is_for_good(clock: FakeClock, guard: Guard, data: Recorder, late_s: float) -> None:
    """A renewal that comes at D2 or later, however fresh, brings nothing back (I6)."""
    _pass(clock, guard, 9.0)
    clock.sleep(late_s - 9.0)  # the guard itself overslept
    guard.renew(late_s - 0.1)
    assert (_state(guard), data.told) == (State.STOPPED, ["freeze", "stop"])
    guard.renew(late_s)
    with pytest.raises(Late, match="over for good"):
        guard.arm("data", 7, _TIMES, late_s, Recorder())
    _pass(clock, guard, late_s + 30)
    assert data.told == ["freeze", "stop"]


def test_a_guard_that_overslept_stops_without_a_freeze(
    clock: FakeClock, guard: Guard, data: Recorder
) -> None:
    """After a suspended machine wakes, past D2 there is no time for the milder measure."""
    clock.sleep(3600)
    guard.tick()
    assert data.told == ["stop"]


@pytest.mark.parametrize("base_s", [0.0, 0.9])
def test_a_late_grant_is_not_used(clock: FakeClock, guard: Guard, base_s: float) -> None:
    """A grant whose answer arrives after its own D1 arms nothing, and is refused (I10)."""
    clock.sleep(9.0 + base_s)
    with pytest.raises(Late, match="too late"):
        guard.arm("data", 7, _TIMES, base_s, Recorder())
    assert guard.armed() == []
    guard.arm("data", 7, _TIMES, base_s + 0.001, Recorder())


def test_a_repeated_arm_keeps_the_newest_renewal(
    clock: FakeClock, guard: Guard, data: Recorder
) -> None:
    """To arm again is a renewal at most: it neither shortens nor forgets, and keeps the stopper."""
    guard.renew(5.0)
    guard.arm("data", 7, _TIMES, 1.0, Recorder())
    _pass(clock, guard, 14.0)
    assert data.told == ["freeze"]


def test_a_failing_freeze_does_not_delay_the_stop(
    clock: FakeClock, guard: Guard, data: Recorder
) -> None:
    """The stop comes at D2 whatever became of the freeze."""
    data.broken = {"freeze"}
    _pass(clock, guard, 12.0)
    assert data.told == ["freeze", "stop"]


@pytest.mark.parametrize("fails", ["by saying so", "by raising"])
def test_a_stop_is_repeated_until_it_works(
    clock: FakeClock, guard: Guard, data: Recorder, fails: str
) -> None:
    """A stop that did not work is tried again ten times a second, and the others' are not late."""
    other = Recorder()
    guard.arm("other", 8, _TIMES, 0.0, other)
    data.works = fails == "by raising"
    data.broken = {"stop"} if fails == "by raising" else set()
    _pass(clock, guard, 12.35)
    assert data.told == ["freeze", "stop", "stop", "stop", "stop"]
    assert other.told == ["freeze", "stop"]
    data.works, data.broken = True, set()
    _pass(clock, guard, 20.0)
    assert data.told.count("stop") == 5
    assert [armed.done for armed in guard.armed()] == [True, True]


def test_one_that_fails_does_not_keep_another_from_its_freeze(
    clock: FakeClock, guard: Guard, data: Recorder
) -> None:
    """While one stop is repeated, another volume's own moments are kept to the point."""
    data.works = False
    _pass(clock, guard, 3.05)
    other = Recorder()
    guard.arm("other", 8, _TIMES, 3.05, other)
    while clock.now() < 12.05:
        next_s = guard.tick()
        assert next_s is not None
        assert next_s <= 12.05 or other.told
        clock.sleep(max(next_s - clock.now(), 1e-9))
    guard.tick()
    assert other.told == ["freeze"]


def test_a_lost_session_stops_at_once(clock: FakeClock, guard: Guard, data: Recorder) -> None:
    """Nobody waits for the silence of a node whose session is over: no freeze, no deadline."""
    clock.sleep(1.0)
    guard.stop_all()
    guard.renew(1.0)
    guard.stop_all()
    assert (_state(guard), data.told) == (State.STOPPED, ["stop"])


def test_disarmed_is_left_alone(clock: FakeClock, guard: Guard, data: Recorder) -> None:
    """What is not on this node any more is not touched; repeating and other tokens are harmless."""
    guard.disarm("data", 6)
    assert _state(guard) is State.ACTIVE
    guard.disarm("data", 7)
    guard.disarm("data", 7)
    guard.disarm("other", 7)
    _pass(clock, guard, 60.0)
    assert data.told == []


def test_a_frozen_volume_is_disarmed_thawed(clock: FakeClock, guard: Guard, data: Recorder) -> None:
    """Nothing stays frozen behind."""
    _pass(clock, guard, 9.0)
    guard.disarm("data", 7)
    assert data.told == ["freeze", "thaw"]


def test_a_newer_token_waits_for_the_older_ones_end(
    clock: FakeClock, guard: Guard, data: Recorder
) -> None:
    """No grant is armed beside a token that may still write; after its stop it is (I6)."""
    newer = Recorder()
    with pytest.raises(Late, match="token 7"):
        guard.arm("data", 9, _TIMES, 0.0, newer)
    data.works = False
    _pass(clock, guard, 12.0)
    with pytest.raises(Late, match="token 7"):
        guard.arm("data", 9, _TIMES, 12.0, newer)
    data.works = True
    _pass(clock, guard, 13.0)
    guard.arm("data", 9, _TIMES, 13.0, newer)
    assert _state(guard, 9) is State.ACTIVE
    with pytest.raises(Late, match="token 9"):
        guard.arm("data", 7, _TIMES, 13.0, data)
    guard.disarm("data", 7)
    assert _state(guard, 9) is State.ACTIVE


@pytest.mark.parametrize("state", [State.ACTIVE, State.FROZEN, State.STOPPED])
def test_a_new_guard_goes_on_where_the_old_one_died(
    clock: FakeClock, guard: Guard, state: State
) -> None:
    """It keeps the old deadlines, and repeats a stop that may have been cut short."""
    clock.sleep(100.0)
    stopper = Recorder()
    guard.resume(Armed("data", 7, _TIMES, 90.5, stopper, state, done=True))
    guard.renew(95.0)
    told = {
        State.ACTIVE: ["freeze", "thaw"],
        State.FROZEN: ["thaw"],
        State.STOPPED: ["stop"],
    }[state]
    guard.tick()
    assert stopper.told == told


@pytest.mark.parametrize(
    ("state", "told"), [(State.ACTIVE, []), (State.FROZEN, ["thaw"]), (State.STOPPED, ["stop"])]
)
def test_a_new_guard_hears_of_what_was_renewed_while_there_was_none(
    clock: FakeClock, guard: Guard, state: State, told: list[str]
) -> None:
    """However late its predecessor's table is; what was stopped stays so."""
    clock.sleep(100.0)
    stopper = Recorder()
    guard.resume(Armed("data", 7, _TIMES, 50.0, stopper, state), 99.0)
    next_s = guard.tick()
    assert stopper.told == told
    assert next_s == (None if state is State.STOPPED else 108.0)


def test_changes_are_told(clock: FakeClock) -> None:
    """Whoever keeps the table and the log hears of each change after it was made, and why not."""
    heard: list[tuple[str, State, str]] = []
    tell: Callable[[Armed, Exception | None], None] = lambda armed, trouble: heard.append(  # noqa: E731  shown in one place
        (armed.volume, armed.state, str(trouble or ""))
    )
    guard, stopper = Guard(clock, tell), Recorder()
    stopper.broken = {"freeze"}
    guard.arm("data", 7, _TIMES, 0.0, stopper)
    guard.renew(1.0)
    _pass(clock, guard, 14.0)
    assert heard == [
        ("data", State.ACTIVE, ""),
        ("data", State.ACTIVE, ""),
        ("data", State.FROZEN, "freeze"),
        ("data", State.STOPPED, ""),
    ]


@pytest.mark.parametrize("access", list(AccessMode))
@pytest.mark.parametrize("fencing", [True, False])
@pytest.mark.parametrize("node_local", [True, False])
@pytest.mark.parametrize("shared_store", [True, False])
def test_only_who_is_waited_for_is_armed(
    access: AccessMode, fencing: bool, node_local: bool, shared_store: bool
) -> None:
    """Exclusive modes, in a cluster, on storage that others reach and that cannot refuse us."""
    wanted = access in (AccessMode.SINGLE_CONTAINER, AccessMode.SINGLE_WRITER) and (
        (fencing, node_local, shared_store) == (False, False, True)
    )
    asked = has_to_be_armed(
        access, fencing=fencing, node_local=node_local, shared_store=shared_store
    )
    assert asked is wanted
