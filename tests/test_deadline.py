"""Deadlines shorten everything inside them, and nothing has to sleep to test that."""

import contextvars
import threading
from math import inf

import pytest

from volplug.deadline import check, clock, deadline, remaining, shielded, wait_until
from volplug.errors import DeadlineExceeded
from volplug.testing import FakeClock


def test_without_a_deadline_time_is_endless() -> None:
    """Whoever sets no deadline waits for ever, on purpose."""
    assert remaining() == inf
    check("anything")


def test_remaining_counts_down_to_zero() -> None:
    """Time that passes is time that is left no more, and never less than none."""
    time = FakeClock()
    with clock(time), deadline(10):
        assert remaining() == 10
        time.sleep(4)
        assert remaining() == 6
        time.sleep(60)
        assert remaining() == 0


def test_outer_deadline_stays_in_force() -> None:
    """An inner block can take less time, and never more."""
    with clock(FakeClock()), deadline(10):
        with deadline(60):
            assert remaining() == 10
        with deadline(1):
            assert remaining() == 1
        assert remaining() == 10


def test_shielded_starts_afresh_and_ends() -> None:
    """Clean-up has its time even when none is left, and afterwards none is left still."""
    time = FakeClock()
    with clock(time), deadline(1):
        time.sleep(2)
        with shielded(30):
            assert remaining() == 30
            with deadline(60):
                assert remaining() == 30
        assert remaining() == 0


def test_deadline_ends_with_its_block_even_in_an_error() -> None:
    """What was set for a block is gone after it, however it was left."""
    with pytest.raises(KeyError), deadline(1):
        raise KeyError
    assert remaining() == inf


def test_check_names_what_was_awaited() -> None:
    """The refusal tells what took the time, and that trying again goes on with it."""
    with (
        clock(FakeClock()),
        deadline(0),
        pytest.raises(DeadlineExceeded, match="for the disk; a retry continues"),
    ):
        check("the disk")


def test_wait_until_asks_once_without_any_time() -> None:
    """What holds already needs no time."""
    with clock(FakeClock()), deadline(0):
        wait_until(lambda: True, "nothing")


def test_wait_until_asks_once_more_at_the_very_end() -> None:
    """A condition that comes true with the last tick is seen, though the poll would miss it."""
    time = FakeClock()
    start = time.now()
    with clock(time), deadline(1):
        wait_until(lambda: time.now() - start >= 1, "the last tick", poll_s=0.7)
        assert time.now() - start == pytest.approx(1)


def test_wait_until_gives_up_in_time() -> None:
    """What never holds is given up at the deadline, and named."""
    time = FakeClock()
    start = time.now()
    with clock(time), deadline(5), pytest.raises(DeadlineExceeded, match="the disk"):
        wait_until(lambda: False, "the disk")
    assert time.now() - start == pytest.approx(5)


def test_new_thread_starts_without_a_deadline_unless_it_is_given_the_context() -> None:
    """Work that goes on in the background is not cut off by whoever started it."""
    seen: list[float] = []

    def note() -> None:
        seen.append(remaining())

    with clock(FakeClock()), deadline(7):
        context = contextvars.copy_context()
        for target in (note, lambda: context.run(note)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [inf, 7]
