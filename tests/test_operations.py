"""The promises of operations.py, with real threads and events instead of sleeps."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from volplug.deadline import deadline, wait_until
from volplug.errors import Busy, DeadlineExceeded, HostError
from volplug.operations import Operations

SOON_S = 10.0


@pytest.fixture
def operations() -> Operations:
    """Operations with two places per backend."""
    return Operations(per_backend=2)


@contextmanager
def stuck(operations: Operations, volume: str, kind: str = "mount") -> Iterator[threading.Event]:
    """Keep an operation running until the block ends, or the event that it is given is set."""
    release = threading.Event()
    assert operations.start(volume, kind, lambda: release.wait(SOON_S))
    try:
        yield release
    finally:
        release.set()


def test_returns_what_the_work_returns(operations: Operations) -> None:
    """A caller gets the result of the work it asked for."""
    assert operations.run("a", "mount", lambda: 42) == 42


def test_raises_what_the_work_raises(operations: Operations) -> None:
    """A failure reaches the caller as it was raised."""

    def fail() -> None:
        raise HostError("no")

    with pytest.raises(HostError, match="no"):
        operations.run("a", "mount", fail)


def test_a_timeout_of_the_work_is_not_the_callers(operations: Operations) -> None:
    """A TimeoutError out of the work is told as what it is."""

    def fail() -> None:
        raise TimeoutError("the work's own")

    with pytest.raises(TimeoutError, match="the work's own"):
        operations.run("a", "mount", fail)


def test_same_kind_joins_and_the_work_runs_once(operations: Operations) -> None:
    """Ten callers of one kind share one run."""
    entered, release, runs = threading.Event(), threading.Event(), []

    def work() -> int:
        runs.append(1)
        entered.set()
        release.wait(SOON_S)
        return 7

    with ThreadPoolExecutor(10) as pool:
        results = [pool.submit(operations.run, "a", "mount", work)]
        entered.wait(SOON_S)
        results += [pool.submit(operations.run, "a", "mount", work) for _ in range(9)]
        release.set()
        assert {result.result(SOON_S) for result in results} == {7}
    # Those that came after the end have run it again, each alone: at most one at a time.
    assert 1 <= len(runs) <= 10


def test_who_leaves_early_is_told_that_it_goes_on(operations: Operations) -> None:
    """Past the deadline the caller leaves, the work goes on, and the next call joins it."""
    release = threading.Event()

    def work() -> str:
        release.wait(SOON_S)
        return "done"

    with deadline(0.05), pytest.raises(DeadlineExceeded, match=r"mount of volume 'a'.*goes on"):
        operations.run("a", "mount", work)
    release.set()
    assert operations.run("a", "mount", lambda: "done") == "done"


def test_another_kind_waits_and_is_then_refused(operations: Operations) -> None:
    """A different operation on a busy volume says what keeps it and for how long."""
    with stuck(operations, "a"), deadline(0.05), pytest.raises(Busy, match="mount has been"):
        operations.run("a", "remove", lambda: None)


def test_another_kind_runs_when_the_first_ends(operations: Operations) -> None:
    """A different operation on a busy volume takes its turn once the first has ended."""
    with ThreadPoolExecutor(1) as pool, stuck(operations, "a") as release:
        later = pool.submit(operations.run, "a", "remove", lambda: "removed")
        release.set()
        assert later.result(SOON_S) == "removed"


def test_one_stuck_volume_delays_no_other(operations: Operations) -> None:
    """Fifty stuck volumes leave the next one free."""
    releases = []
    for number in range(50):
        release = threading.Event()
        releases.append(release)
        operations.start(f"stuck{number}", "mount", partial(release.wait, SOON_S))
    try:
        with deadline(1.0):
            assert operations.run("free", "mount", lambda: "mounted") == "mounted"
    finally:
        for release in releases:
            release.set()


def test_start_refuses_a_busy_volume(operations: Operations) -> None:
    """Background work never queues behind another operation."""
    with stuck(operations, "a"):
        assert not operations.start("a", "finish", lambda: None)
        assert operations.start("b", "finish", lambda: None)


def test_running_names_the_kind_while_it_lasts(operations: Operations) -> None:
    """Inspect can tell what is under way, and that nothing is."""
    with stuck(operations, "a"):
        assert str(operations.running("a")).startswith("mount for ")
    with deadline(SOON_S):
        wait_until(lambda: operations.running("a") is None, "the end", poll_s=0.01)


def test_a_backend_has_a_bounded_number_of_turns(operations: Operations) -> None:
    """A third caller waits for a place on the backend and is refused at its deadline."""
    with operations.turn("gold"), operations.turn("gold"):
        with deadline(0.05), pytest.raises(Busy, match="backend 'gold'"), operations.turn("gold"):
            pass
        with operations.turn("silver"):
            pass
    with operations.turn("gold"):
        pass


def test_a_backends_callers_are_bounded_and_refused_at_once() -> None:
    """Whoever would be one too many is told so without waiting, and others are not concerned."""
    operations = Operations(callers_per_backend=1)
    with operations.caller("gold"):
        with pytest.raises(Busy, match="backend 'gold' keeps too many"), operations.caller("gold"):
            pass
        with operations.caller("silver"):
            pass
    with operations.caller("gold"):
        pass


def test_work_has_its_own_limit_not_the_callers(operations: Operations) -> None:
    """A caller's short deadline does not reach into the work."""
    from volplug.deadline import remaining

    with deadline(5.0):
        assert operations.run("a", "mount", remaining) > 100
