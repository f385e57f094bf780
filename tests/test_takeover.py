"""The promises of takeover.py: the table of levels and grounds, cell by cell."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from volplug.lease import Lease
from volplug.session import HOLD_MS, NodeSession, Presence, Silence, silence_s
from volplug.takeover import (
    Ground,
    Level,
    Storage,
    Takeover,
    ground,
    guard_level,
    level,
    sentence,
    wait_s,
)
from volplug.volume import AccessMode

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_OPERATIONS = Path(__file__).parents[1] / "docs/operations.md"


def session(node: str, incarnation: int, guarded: int) -> NodeSession:
    """A node's session that was silent for long."""
    silence = Silence(_NOW, 99.0, silence_s(HOLD_MS))
    return NodeSession(node, incarnation, "boot", "hw", guarded, HOLD_MS, Presence.SILENT, silence)


@pytest.mark.parametrize("takeover", Takeover)
@pytest.mark.parametrize("guarded", [0, 1, 2])
@pytest.mark.parametrize("drain_s", [None, 0.0, 30.0])
def test_a_silence_is_enough_only_where_it_is_bounded(
    takeover: Takeover, guarded: int, drain_s: float | None
) -> None:
    """Without a fence: a bounded drain, and a watchdog, or a guard where the operator says so."""
    found = ground(Storage(fencing=False, drain_s=drain_s, takeover=takeover), guarded)
    by_itself = {
        (Takeover.FENCED, 2),
        (Takeover.TIMED, 1),
        (Takeover.TIMED, 2),
    }
    enough = drain_s is not None and (takeover, guarded) in by_itself
    assert found is (Ground.SILENCE if enough else Ground.WORD)


@pytest.mark.parametrize("guarded", [0, 1, 2])
def test_a_fence_is_wanted_where_there_is_one(guarded: int) -> None:
    """Who can fence does: such volumes are armed by no guard, so no silence counts for them."""
    for takeover in (Takeover.FENCED, Takeover.TIMED):
        storage = Storage(fencing=True, drain_s=0.0, takeover=takeover)
        assert ground(storage, guarded) is Ground.FENCE


@pytest.mark.parametrize("fencing", [True, False])
def test_manual_waits_for_a_person(fencing: bool) -> None:
    """With takeover=manual nothing happens by itself, not even a fence."""
    storage = Storage(fencing=fencing, drain_s=0.0, takeover=Takeover.MANUAL)
    assert ground(storage, 2) is Ground.WORD


def test_levels() -> None:
    """The storage counts most, data of one node least, else what the holder says."""
    assert level(Storage(fencing=True), 0) is Level.STORAGE
    assert level(Storage(fencing=False, node_local=True, drain_s=0.0), 2) is Level.NONE
    assert [level(Storage(fencing=False), said) for said in (0, 1, 2)] == [0, 1, 2]
    local = Storage(fencing=False, node_local=True, drain_s=0.0, takeover=Takeover.TIMED)
    assert ground(local, 2) is Ground.WORD


def test_word_of_a_guard_counts_for_its_own_life() -> None:
    """What a node says now says nothing of a lease that an earlier life of it holds."""
    nodes = [session("a", 2, 2), session("b", 1, 1)]
    for incarnation, said in ((2, 2), (1, 0)):
        lease = Lease("data", "a", AccessMode.SINGLE_WRITER, 5, _NOW, incarnation=incarnation)
        assert guard_level(lease, nodes) == said
    gone = Lease("data", "c", AccessMode.SINGLE_WRITER, 5, _NOW, incarnation=1)
    assert guard_level(gone, nodes) == 0


def test_wait_covers_the_drain() -> None:
    """What is on its way is waited for, on the slowest clock that there may be (leases.md 2.8)."""
    holder = session("a", 1, 2)
    waits = [wait_s(Storage(fencing=False, drain_s=drain_s), holder) for drain_s in (0.0, 30.0)]
    assert waits[0] == silence_s(HOLD_MS)
    assert waits[1] >= waits[0] + 30.0
    with pytest.raises(AssertionError, match="unbounded"):
        wait_s(Storage(fencing=False), holder)


@pytest.mark.parametrize("guarded", [0, 1, 2])
@pytest.mark.parametrize("takeover", Takeover)
@pytest.mark.parametrize("fencing", [True, False])
def test_sentence_names_the_level_and_the_need(
    guarded: int, takeover: Takeover, fencing: bool
) -> None:
    """One line: the level, what it rests on, and who has to do what."""
    storage = Storage(fencing=fencing, drain_s=1.0, takeover=takeover)
    said = sentence(storage, guarded)
    assert said.startswith(f"{level(storage, guarded).value} (")
    wanted = {Ground.FENCE: "fenced", Ground.SILENCE: "waits until", Ground.WORD: "lease evict"}
    assert wanted[ground(storage, guarded)] in said
    assert "\n" not in said


@pytest.mark.parametrize("choice", Takeover)
def test_page_explains_every_choice(choice: Takeover) -> None:
    """Each value of `takeover` is explained where operators look."""
    assert re.search(rf"^\* `takeover = \"{choice}\"`", _OPERATIONS.read_text(), re.MULTILINE)
