"""The promises of journal.py: what happened is there afterwards, and it never costs a Mount."""

import logging
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug.errors import HeldElsewhere, Unavailable
from volplug.event import DURABLE, Entry, Event, Outcome
from volplug.journal import Journal, read
from volplug.renewal import Renewal
from volplug.session import Session
from volplug.testing import MemoryLeases

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of node `n1`."""
    journal = Journal(tmp_path / "journal", node="n1", boot_id="boot-1", now=lambda: NOW)
    yield journal
    journal.close()


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node with a volume `data`."""
    node = SmallNode(tmp_path)
    node.create("data")
    return node


@contextmanager
def full_disk(at_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a disk without space does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def told(entries: list[Entry]) -> list[str]:
    """Return each entry as its event and its outcome."""
    return [f"{entry.event} {entry.outcome}" for entry in entries]


def only_file(tmp_path: Path) -> Path:
    """Return the file that is written at present."""
    return tmp_path / "journal" / "events.0.jsonl"


def test_what_is_noted_is_read_again(journal: Journal) -> None:
    """Every field of an event comes back as it was given."""
    journal.note(
        Event.FENCE,
        Outcome.FAILED,
        volume="data",
        node="n2",
        token=7,
        mount_id="c1",
        by="anna@n1",
        reason="no route to host",
    )
    assert journal.entries() == [
        Entry(
            at=NOW,
            boot="boot-1",
            event=Event.FENCE,
            outcome=Outcome.FAILED,
            volume="data",
            node="n2",
            token=7,
            mount_id="c1",
            by="anna@n1",
            reason="no route to host",
        )
    ]


def test_entries_of_one_volume_and_of_late(tmp_path: Path) -> None:
    """A reader gets the volume and the time that it asked for, oldest first."""
    hours = iter(range(1, 5))
    journal = Journal(tmp_path / "j", now=lambda: NOW.replace(hour=next(hours)))
    for volume in ("data", "logs", "data", "data2"):
        journal.note(Event.MOUNT, volume=volume)
    assert [entry.at.hour for entry in journal.entries("data")] == [1, 3]
    assert [entry.at.hour for entry in journal.entries(since=NOW)] == [3, 4]


def test_a_line_is_one_write_of_its_own(journal: Journal, tmp_path: Path) -> None:
    """Whatever is in a reason, an event is one line, and readable without volplug."""
    journal.note(Event.EVICT, node="n2", by="anna", reason="plug\nis out, ünplugged")
    [line] = only_file(tmp_path).read_text().splitlines()
    assert '"reason":"plug\\nis out, ünplugged"' in line


def test_torn_last_line_is_passed_over_and_not_continued(journal: Journal, tmp_path: Path) -> None:
    """A line that a kill cut short costs itself, and not the one after it."""
    journal.note(Event.GRANT, volume="data", token=1)
    with only_file(tmp_path).open("a") as file:
        file.write('{"at":"2026-01-02T03:04:05+00:00","event":"rel')
    assert told(journal.entries()) == ["grant done"]
    again = Journal(tmp_path / "journal")
    again.note(Event.MOUNT, volume="data")
    assert told(again.entries()) == ["grant done", "mount done"]


def test_lines_of_a_newer_version_are_passed_over(journal: Journal, tmp_path: Path) -> None:
    """An event that this version does not know, or a field, spoils nothing."""
    journal.note(Event.MOUNT, volume="data")
    with only_file(tmp_path).open("a") as file:
        file.write('{"at":"2026-01-02T03:04:05+00:00","boot":"b","event":"teleport"}\n')
        file.write('{"at":"2026-01-02T03:04:05+00:00","boot":"b","event":"mount","hue":1}\n')
        file.write("[1]\n")
    assert told(journal.entries()) == ["mount done", "mount done"]


def test_size_is_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    """However much happens, so many files of such a size remain, with the latest events."""
    journal = Journal(tmp_path / "j", file_bytes=2000, files=3)
    for number in range(1, 201):
        journal.note(Event.GRANT, volume="data", token=number)
    sizes = [path.stat().st_size for path in (tmp_path / "j").iterdir()]
    assert len(sizes) == 3
    assert max(sizes) <= 2000
    tokens = [entry.token for entry in journal.entries()]
    assert tokens == list(range(tokens[0], 201))
    assert len(tokens) > 20


def test_full_disk_costs_no_mount_and_is_told_once(
    node: SmallNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Mounts go on without a journal, one line in the log says so, and it goes on with space."""
    with full_disk(only_size(node, tmp_path) + 100), caplog.at_level(logging.ERROR):
        for number in range(3):
            node.service.mount("data", f"c{number}")
    assert len([one for one in caplog.records if "no journal" in one.message]) == 1
    node.service.mount("data", "c9")
    assert [entry.mount_id for entry in node.node.journal.entries("data")][-1] == "c9"


def only_size(node: SmallNode, tmp_path: Path) -> int:
    """Return how large the node's journal is."""
    return (tmp_path / f"{node.name}-journal" / "events.0.jsonl").stat().st_size


def test_place_that_cannot_be_written_costs_no_mount(
    node: SmallNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal that cannot even be opened is told of once, and Mounts go on."""
    node.node.journal.close()
    (tmp_path / "n1-journal").rename(tmp_path / "elsewhere")
    (tmp_path / "n1-journal").write_text("a file is in the way")
    node.service.mount("data", "c1")
    node.service.unmount("data", "c1")
    assert caplog.text.count("no journal is written") == 1


def test_what_grants_and_takes_away_is_flushed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that somebody may be held to is on the disk when its note returns; others wait."""
    flushed: list[int] = []
    fsync = os.fsync

    def count(fd: int) -> None:
        flushed.append(fd)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", count)
    for event in Event:
        before = len(flushed)
        journal.note(event, volume="data")
        assert (len(flushed) > before) == (event in DURABLE), event


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    """Nothing is lost or mixed up when all write at once, over several files."""
    journal = Journal(tmp_path / "j", file_bytes=20_000, files=50)

    def work(number: int) -> None:
        for token in range(1, 101):
            journal.note(Event.GRANT, volume=f"v{number}", token=token)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert [one.token for one in journal.entries(f"v{number}")] == list(range(1, 101))


def test_repeated_failure_is_noted_once(journal: Journal) -> None:
    """A keeper that fails every half minute in the same words does not push out the rest."""
    for reason in ("away", "away", "still away", "still away"):
        with pytest.raises(Unavailable), journal.step(Event.CREATE, volume="data"):
            raise Unavailable(reason)
    journal.note(Event.CREATE, volume="data")
    with pytest.raises(Unavailable), journal.step(Event.CREATE, volume="data"):
        raise Unavailable("still away")
    assert [entry.reason for entry in journal.entries()] == ["away", "still away", "", "still away"]


def test_bug_is_noted_by_its_kind_alone(journal: Journal) -> None:
    """What is no refusal may say anything, so only its class is told."""
    with pytest.raises(KeyError), journal.step(Event.ATTACH, volume="data"):
        raise KeyError("password=hunter2")
    assert [entry.reason for entry in journal.entries()] == ["KeyError"]


def test_journal_is_for_its_owner_only(journal: Journal, tmp_path: Path) -> None:
    """Nobody else may read who mounts what."""
    journal.note(Event.MOUNT, volume="data")
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert only_file(tmp_path).stat().st_mode & 0o777 == 0o600


def test_a_volumes_life(node: SmallNode) -> None:
    """Each step up, each step down, and what frames them."""
    node.service.mount("data", "c1")
    node.service.unmount("data", "c1")
    node.mounts.drain("data")
    node.service.remove("data")
    assert told(node.node.journal.entries("data")) == [
        "create done",
        "grant done",
        "attach done",
        "stage done",
        "mount done",
        "unmount done",
        "unstage done",
        "detach done",
        "release done",
        "delete done",
    ]


def test_failures_with_their_reasons(node: SmallNode) -> None:
    """What went wrong stands where it did, in the words that the user got."""
    node.cloud.fail("attach", Unavailable("the cloud is away"))
    with pytest.raises(Unavailable):
        node.service.mount("data", "c1")
    entries = node.node.journal.entries("data")
    assert told(entries)[1:] == [
        "grant done",
        "attach failed",
        "detach done",
        "release done",
        "mount failed",
    ]
    assert {one.reason for one in entries if one.outcome is Outcome.FAILED} == {"the cloud is away"}


def test_waiting_and_refusal(node: SmallNode, tmp_path: Path) -> None:
    """Who is kept out notes since when it waited, and what it was told in the end."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.service.mount("data", "c9")
    with pytest.raises(HeldElsewhere) as refusal:
        node.service.mount("data", "c1")
    entries = node.node.journal.entries("data")
    assert told(entries)[1:] == ["wait begun", "refuse done", "mount failed"]
    assert entries[2].reason == str(refusal.value)


def test_fence_and_what_it_led_to(node: SmallNode, tmp_path: Path) -> None:
    """A lease that moved is accounted for: the node, its token, and the storage's proof."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.service.mount("data", "c9")
    [lease] = node.leases.leases("data")
    node.clock.sleep(60)
    node.leases.renew()
    node.service.mount("data", "c1")
    entries = node.node.journal.entries("data")
    assert told(entries)[1:6] == [
        "fence begun",
        "fence done",
        "condemn done",
        "quarantine done",
        "grant done",
    ]
    assert {(one.node, one.token) for one in entries[1:4]} == {("n2", lease.token)}
    assert entries[3].reason == "the fake cloud took data from n2"


def test_failed_fence(node: SmallNode, tmp_path: Path) -> None:
    """A fence that the storage did not confirm is told with its reason."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.service.mount("data", "c9")
    node.leases.leases()
    node.clock.sleep(60)
    node.leases.renew()
    node.cloud.fail("fence", Unavailable("the cloud is away"))
    with pytest.raises(HeldElsewhere):
        node.service.mount("data", "c1")
    [failed] = [
        one
        for one in node.node.journal.entries("data")
        if one.event is Event.FENCE and one.outcome is Outcome.FAILED
    ]
    assert failed.reason == "the cloud is away"


def test_operators_word(node: SmallNode) -> None:
    """A lease that a person took has that person's name and reason."""
    node.ladder.up("data")
    node.administration.release("data", by="anna@n1", reason="n1 burnt down")
    [entry] = [one for one in node.node.journal.entries() if one.event is Event.CONDEMN]
    assert (entry.by, entry.reason) == ("anna@n1", "n1 burnt down")


def test_lease_that_was_taken_while_used_is_noted_once(node: SmallNode) -> None:
    """The node whose volume is another's by now has it in its own journal, not every round."""
    node.service.mount("data", "c1")
    [lease] = node.leases.leases("data")
    node.leases.condemn(lease, by="anna", reason="test")
    for _ in range(3):
        node.keeper.reconcile()
    assert told(node.node.journal.entries("data")).count("taken done") == 1


def test_lost_session_is_noted(journal: Journal) -> None:
    """Why a process ended itself stands in the journal that its successor goes on with."""
    leases = MemoryLeases(Session("a", "boot-1", "machine of a", "instance-1"))
    MemoryLeases(Session("a", "boot-1", "machine of a", "instance-2"), beside=leases)
    assert Renewal(leases, lambda: None, journal=journal).renew() is False
    [entry] = journal.entries()
    assert entry.event is Event.SESSION_LOST
    assert "taken over" in entry.reason


def test_reading_needs_no_running_volplug(journal: Journal, tmp_path: Path) -> None:
    """The files alone are enough, also where there are none."""
    journal.note(Event.MOUNT, volume="data")
    assert told(read(tmp_path / "journal")) == ["mount done"]
    assert read(tmp_path / "nowhere") == []
