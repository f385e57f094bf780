"""What is told of volumes while the store is away: the newest that was known, and no guess."""

from collections.abc import Callable

import pytest

from volplug.errors import Unavailable
from volplug.etcd.last_seen import LastSeen


def away() -> dict[str, int]:
    """Ask a store that does not answer."""
    raise Unavailable("the store is away")


def nothing() -> int | None:
    """Ask a store that does not answer for one."""
    raise Unavailable("the store is away")


@pytest.fixture
def seen() -> LastSeen[int]:
    """Give what was seen once: one volume."""
    seen = LastSeen[int]()
    seen.all(lambda: {"old": 1})
    return seen


def test_nothing_is_told_before_all_was_seen() -> None:
    """One that is known says nothing of the others: the store's failure is told."""
    seen = LastSeen[int]()
    seen.note("data", 1)
    with pytest.raises(Unavailable):
        seen.all(away)
    with pytest.raises(Unavailable):
        seen.one("data", nothing)


def test_the_newest_is_told(seen: LastSeen[int]) -> None:
    """What was noted, looked at, and removed since the list is told as it is by now."""
    seen.note("made", 2)
    seen.one("found", lambda: 3)
    seen.note("old", None)
    assert seen.all(away) == {"made": 2, "found": 3}
    assert seen.one("old", nothing) is None
    seen.all(lambda: {"old": 1})
    assert seen.all(away) == {"old": 1}


@pytest.mark.parametrize("value", [2, None])
def test_a_late_list_does_not_undo_a_note(seen: LastSeen[int], value: int | None) -> None:
    """A list that was read before a volume was made, or removed, may be answered after."""

    def late() -> dict[str, int]:
        seen.note("old", value)
        seen.note("made", 5)
        return {"old": 1}

    assert seen.all(late) == {"old": 1}
    assert seen.one("old", nothing) == value
    assert seen.one("made", nothing) == 5


def test_a_late_list_does_not_undo_a_newer_one(seen: LastSeen[int]) -> None:
    """Of two lists at once, the one that was asked for last is believed."""

    def late() -> dict[str, int]:
        seen.all(lambda: {"new": 2})
        return {"old": 1}

    seen.all(late)
    assert seen.all(away) == {"new": 2}


@pytest.mark.parametrize(
    "meanwhile",
    [lambda seen: seen.note("old", None), lambda seen: seen.all(dict)],
    ids=["removed", "list"],
)
def test_a_late_look_does_not_undo_what_is_newer(
    seen: LastSeen[int], meanwhile: Callable[[LastSeen[int]], object]
) -> None:
    """A look that was read before its volume was removed may be answered after."""

    def late() -> int:
        meanwhile(seen)
        return 1

    assert seen.one("old", late) == 1
    assert seen.one("old", nothing) is None


def test_only_what_may_be_told_is_kept() -> None:
    """What is told later went through `kept`."""
    seen = LastSeen[int](kept=lambda value: value % 10)
    seen.all(lambda: {"a": 11})
    seen.note("b", 22)
    assert seen.all(away) == {"a": 1, "b": 2}
