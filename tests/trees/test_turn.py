"""Turns across nodes, with a directory as the token."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from volplug.deadline import deadline
from volplug.errors import DeadlineExceeded
from volplug.trees import turn as tree_turn
from volplug.trees.local import LocalTree
from volplug.trees.turn import turn


@pytest.fixture
def tree(tmp_path: Path) -> LocalTree:
    """Return a tree with volplug's own directories."""
    for name in ("locks", "trash"):
        (tmp_path / ".volplug" / name).mkdir(parents=True)
    return LocalTree(tmp_path)


def test_one_at_a_time(tree: LocalTree) -> None:
    """Of many nodes one is in the block, and each gets in."""
    inside: list[int] = []

    def work(number: int) -> None:
        with deadline(30), turn(tree, "list"):
            inside.append(number)
            assert inside == [number]
            time.sleep(0.002)
            inside.clear()

    with ThreadPoolExecutor(4) as nodes:
        list(nodes.map(work, range(20)))
    assert tree.entries(".volplug/locks") == []


def test_others_wait_no_longer_than_they_may(tree: LocalTree) -> None:
    """Whoever does not get in until its deadline is told what it waited for."""
    with turn(tree, "list"):
        with (
            deadline(0.2),
            pytest.raises(DeadlineExceeded, match="turn at list"),
            turn(tree, "list"),
        ):
            pytest.fail("two were in")
        with turn(tree, "another"):
            pass


def test_failure_gives_the_turn_back(tree: LocalTree) -> None:
    """A block that fails does not keep the others out."""
    with pytest.raises(ZeroDivisionError), turn(tree, "list"):
        raise ZeroDivisionError
    with deadline(1), turn(tree, "list"):
        pass


@pytest.mark.parametrize("noted", [True, False])
def test_dead_holder_is_passed_over(
    tree: LocalTree,
    monkeypatch: pytest.MonkeyPatch,
    noted: bool,
) -> None:
    """A holder that died, even between its two steps, keeps others out for a bounded time."""
    tree.mkdir(".volplug/locks/list")
    if noted:
        tree.write(".volplug/locks/list/holder", f"{time.time()} dead")
    with deadline(0.2), pytest.raises(DeadlineExceeded), turn(tree, "list"):
        pytest.fail("too early")
    monkeypatch.setattr(tree_turn, "STALE_S", -1)
    with deadline(5), turn(tree, "list"):
        pass
    assert tree.entries(".volplug/locks") == []


def test_holder_keeps_its_turn_from_those_who_wait(tree: LocalTree) -> None:
    """Somebody who waits cannot make the holder forget to give its turn back."""
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        with deadline(5), turn(tree, "list"):
            pass

    for _ in range(20):
        waiting.clear()
        with turn(tree, "list"):
            other = threading.Thread(target=wait)
            other.start()
            waiting.wait(5)
        other.join(5)
        assert not other.is_alive()
    assert tree.entries(".volplug/locks") == []


def test_ending_moves_nothing_to_another_directory(
    tree: LocalTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A brick of Gluster may leave a directory behind that is moved to another one."""
    moves: list[tuple[str, str]] = []
    rename = tree.rename

    def seen(old: str, new: str) -> None:
        moves.append((old, new))
        rename(old, new)

    monkeypatch.setattr(tree, "rename", seen)
    with turn(tree, "list"):
        pass
    assert any(old.endswith("/list") for old, _ in moves)
    assert all(old.rpartition("/")[0] == new.rpartition("/")[0] for old, new in moves)


def test_what_a_dead_ender_left_is_removed(tree: LocalTree) -> None:
    """Whoever ends a turn next removes what another node died at."""
    for name in ("full", "empty"):
        tree.mkdir(f".volplug/locks/.over.{name}")
    tree.write(".volplug/locks/.over.full/holder", "0 dead")
    tree.mkdir(".volplug/locks/.over.odd")
    tree.mkdir(".volplug/locks/.over.odd/strange")
    with turn(tree, "list"):
        pass
    assert [entry.name for entry in tree.entries(".volplug/locks")] == [".over.odd"]
