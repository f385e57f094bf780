"""The promises of renewal.py: the session lives as long as it is ours, whatever else is slow."""

import logging
import threading

import pytest

from volplug.deadline import deadline, wait_until
from volplug.errors import Unavailable
from volplug.renewal import Renewal
from volplug.session import HOLD_MS, Session
from volplug.testing import FakeClock, MemoryLeases

NODE = Session("a", "boot-1", "machine of a", "instance-1")


class Leases(MemoryLeases):
    """Leases whose renewals are counted, and fail while they are told to."""

    def __init__(self, *, beside: MemoryLeases | None = None) -> None:
        super().__init__(NODE, beside=beside)
        self.renewals = 0
        self.away = False

    def renew(self, guard_level: int = 0) -> None:
        """Renew, unless the store is away."""
        self.renewals += 1
        if self.away:
            raise Unavailable("the store is away")
        super().renew(guard_level)


def test_it_goes_on_whatever_fails() -> None:
    """A store that is away ends no renewals; they succeed when it is back."""
    leases, lost = Leases(), threading.Event()
    leases.away = True
    renewal = Renewal(leases, lost.set, period_s=0.001)
    renewal.start()
    try:
        with deadline(5.0):
            wait_until(lambda: leases.renewals > 3, "renewals", poll_s=0.001)
            leases.away = False
            soon = leases.renewals + 3
            wait_until(lambda: leases.renewals > soon, "renewals", poll_s=0.001)
    finally:
        renewal.stop()
    assert not lost.is_set()


def test_a_lost_session_ends_the_process_once() -> None:
    """Once the session is another's there is one call to end the process, and no renewal more."""
    leases, calls = Leases(), []
    renewal = Renewal(leases, lambda: calls.append("lost"), period_s=0.001)
    Leases(beside=leases)
    MemoryLeases(Session("a", "boot-1", "machine of a", "instance-2"), beside=leases)
    renewal.start()
    with deadline(5.0):
        wait_until(lambda: bool(calls), "the end", poll_s=0.001)
        wait_until(lambda: not _runs("renewal"), "the thread's end", poll_s=0.001)
    assert (calls, leases.renewals) == (["lost"], 1)


def test_silence_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads once that others see this node as silent, as soon as they do."""
    leases, clock = Leases(), FakeClock()
    leases.away = True
    renewal = Renewal(leases, now_s=clock.now)
    with caplog.at_level(logging.ERROR):
        clock.sleep(HOLD_MS / 1000 - 0.001)
        renewal.renew()
        assert caplog.messages == []
        for _ in range(3):
            clock.sleep(1)
            renewal.renew()
    assert [message.split(":")[0] for message in caplog.messages] == ["no renewal for 13 s"]


def test_silence_is_told_by_the_hold_that_was_configured(caplog: pytest.LogCaptureFixture) -> None:
    """A node that may write for longer is not said to be silent before."""
    leases, clock = Leases(), FakeClock()
    leases.away = True
    renewal = Renewal(leases, now_s=clock.now, hold_s=60.0)
    with caplog.at_level(logging.ERROR):
        clock.sleep(59)
        renewal.renew()
        assert caplog.messages == []
        clock.sleep(1)
        renewal.renew()
    assert [message.split(":")[0] for message in caplog.messages] == ["no renewal for 60 s"]


def _runs(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())
