"""The clock that tests turn by hand."""

import threading

import pytest

from volplug import deadline
from volplug.errors import DeadlineExceeded
from volplug.testing import FakeClock


def test_time_passes_only_when_told() -> None:
    """`now` stands still until `sleep`, and the wall clock goes with it."""
    clock = FakeClock()
    start = clock.utc()
    assert clock.now() == clock.now() == 0
    clock.sleep(1.5)
    assert (clock.now(), (clock.utc() - start).total_seconds()) == (1.5, 1.5)


def test_time_does_not_go_back() -> None:
    """A negative sleep is a bug in the test."""
    with pytest.raises(ValueError, match="time does not go back"):
        FakeClock().sleep(-1)


def test_threads_share_it() -> None:
    """No second of many threads' sleeps is lost."""
    clock = FakeClock()

    def sleep() -> None:
        for _ in range(100):
            clock.sleep(1)

    threads = [threading.Thread(target=sleep) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.now() == 800


def test_deadlines_go_by_it() -> None:
    """A wait of an hour is over at once."""
    with (
        deadline.clock(FakeClock()),
        deadline.deadline(3600),
        pytest.raises(DeadlineExceeded, match="for ever"),
    ):
        deadline.wait_until(lambda: False, "for ever")
