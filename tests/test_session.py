"""How a silent session is told from a live one."""

import pytest

from volplug.session import HOLD_MS, BoottimeClock, Observer, silence_s, utc_now
from volplug.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Provide the observer's clock."""
    return FakeClock()


@pytest.fixture
def observer(clock: FakeClock) -> Observer:
    """Provide an observer that has seen nothing yet."""
    return Observer(clock, clock.utc)


@pytest.mark.parametrize(("hold_ms", "expected"), [(HOLD_MS, 16.0), (6_000, 8.5)])
def test_bound_of_the_profiles(hold_ms: int, expected: float) -> None:
    """W is what was simulated for the default and the fast profile (leases.md 2.8)."""
    assert silence_s(hold_ms) == expected


@pytest.mark.parametrize("hold_ms", [1, 999, 6_000, 12_000, 123_456])
def test_bound_covers_clocks_at_their_limits(hold_ms: int) -> None:
    """A taker's clock at its fastest counts W only after a holder's at its slowest has stopped."""
    holder_stops_s = hold_ms / 1000 / (1 - 0.1005)
    taker_counts_s = silence_s(hold_ms) / (1 + 0.1005)
    assert taker_counts_s >= holder_stops_s + 0.5


def test_unchanged_session_keeps_its_sighting(observer: Observer, clock: FakeClock) -> None:
    """The wait counts from the first look at a revision, however often it is looked at."""
    first = observer.see("a", 1, 7)
    clock.sleep(5)
    assert observer.see("a", 1, 7) == first
    assert first.first_seen_at < clock.utc()


def test_any_change_starts_the_wait_anew(observer: Observer, clock: FakeClock) -> None:
    """Another revision is a sign of life, be it a lower one: the store may have been restored."""
    for revision in (7, 8, 6):
        sighting = observer.see("a", 1, revision)
        assert sighting.first_seen_s == clock.now()
        clock.sleep(100)


def test_incarnations_are_watched_apart(observer: Observer, clock: FakeClock) -> None:
    """A new incarnation's renewals are no sign of life of the old one, nor of another node."""
    old = observer.see("a", 1, 7)
    clock.sleep(5)
    observer.see("a", 2, 8)
    observer.see("b", 1, 9)
    assert observer.see("a", 1, 7) == old


def test_silence_is_reached_at_the_bound(observer: Observer, clock: FakeClock) -> None:
    """Silent means for W or longer, not nearly W."""
    sighting = observer.see("a", 1, 7)
    clock.sleep(16 - 0.001)
    assert not observer.silent(sighting, HOLD_MS)
    clock.sleep(0.001)
    assert observer.silent(sighting, HOLD_MS)


def test_real_clock_goes_forward() -> None:
    """The clock of production counts seconds, and lets them pass."""
    clock = BoottimeClock()
    before = clock.now()
    clock.sleep(0.001)
    assert clock.now() - before >= 0.001


def test_wall_clock_is_utc() -> None:
    """Moments carry their zone, so that any two can be compared."""
    assert utc_now().tzname() == "UTC"
