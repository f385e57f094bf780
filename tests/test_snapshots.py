"""The promises of snapshots.py: taken once, true about what they are worth, and never orphaned."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug.errors import (
    DeadlineExceeded,
    InvalidOptions,
    Unavailable,
    Unsupported,
    VolplugError,
    VolumeExists,
    VolumeInUse,
    VolumeNotFound,
)
from volplug.host import Filesystem, Formatted


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node with a volume `data` that was used once and is not any more."""
    node = SmallNode(tmp_path)
    node.create("data")
    node.service.mount("data", "c0")
    node.service.unmount("data", "c0")
    node.mounts.drain("data")
    return node


def _names(node: SmallNode, name: str = "data") -> list[str]:
    return [one["snapshot"] for one in node.administration.snapshots(name)]


def test_snapshot_of_an_unused_volume(node: SmallNode) -> None:
    """Nobody could write, and that is told; repeating changes nothing and says so."""
    taken = node.administration.snapshot("data", "monday")
    assert (taken["snapshot"], taken["consistency"]) == ("data@monday", "unused")
    for _ in range(10):
        assert node.administration.snapshot("data", "monday")["consistency"] == "kept"
    assert node.cloud.calls.count(("create_snapshot", "data")) == 1
    assert _names(node) == ["data@monday"]


def test_snapshot_of_a_tree_in_use(node: SmallNode) -> None:
    """A tree cannot be held still from here: what it is worth is told, with the reason."""
    node.service.mount("data", "c1")
    taken = node.administration.snapshot("data", "monday")
    assert taken["consistency"] == "crash-consistent"
    assert "a power cut" in taken["why"]
    assert node.host.path("data")


def test_snapshot_of_a_volume_in_use_elsewhere(node: SmallNode, tmp_path: Path) -> None:
    """The node that could hold it still is named."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.service.mount("data", "c1")
    taken = node.administration.snapshot("data", "monday")
    assert taken["consistency"] == "crash-consistent"
    assert "in use on n2" in taken["why"]


def test_snapshot_of_a_volume_that_was_never_used(node: SmallNode) -> None:
    """It holds nothing, and a copy of nothing could not be told from a damaged one."""
    node.create("new")
    with pytest.raises(InvalidOptions, match="'new' was never mounted"):
        node.administration.snapshot("new", "monday")


@pytest.mark.parametrize("name", ["", "a@b", "../x", "x" * 129])
def test_bad_names_are_refused(node: SmallNode, name: str) -> None:
    """Snapshots have names by the rule for volumes."""
    with pytest.raises(InvalidOptions, match="snapshot name"):
        node.administration.snapshot("data", name)


def test_snapshot_of_an_unknown_volume(node: SmallNode) -> None:
    """There is a sentence for it."""
    for verb in (node.administration.snapshot, node.administration.remove_snapshot):
        with pytest.raises(VolumeNotFound, match="'other'"):
            verb("other", "monday")


@pytest.mark.parametrize("done", [False, True])
def test_lost_answer_is_found_again(node: SmallNode, *, done: bool) -> None:
    """After a failure, before or after the work, the next call ends with one snapshot."""
    node.cloud.fail("create_snapshot", DeadlineExceeded("late"), done=done)
    with pytest.raises(DeadlineExceeded):
        node.administration.snapshot("data", "monday")
    node.administration.snapshot("data", "monday")
    assert _names(node) == ["data@monday"]


def test_delete_snapshot(node: SmallNode) -> None:
    """Gone is success, and the volume stays."""
    node.administration.snapshot("data", "monday")
    for _ in range(10):
        node.administration.remove_snapshot("data", "monday")
    assert _names(node) == []
    assert node.record("data").state == "ready"


def test_volume_from_a_snapshot(node: SmallNode) -> None:
    """It may be made while its origin is in use, knows where it is from, and is found again."""
    node.administration.snapshot("data", "monday")
    node.service.mount("data", "c1")
    for _ in range(10):
        record = node.create("copy", {"clone_of": "data@monday"})
    origin = node.record("data")
    assert node.cloud.volumes[record.handle].origin == f"{origin.handle}@monday"
    assert record.filesystem == origin.filesystem
    assert node.administration.inspect("copy")["clone_of"] == "data@monday"
    with pytest.raises(VolumeExists, match="clone_of=data@monday not data@tuesday"):
        node.create("copy", {"clone_of": "data@tuesday"})


def test_disk_from_a_snapshot_gets_an_identity_of_its_own(node: SmallNode) -> None:
    """It is known to hold the origin's file system, to be given another UUID, never formatted."""
    node.create("disk", {"disk": "yes"})
    origin = node.record("disk")
    holds = Filesystem(Formatted.READY, "ext4", "4d0f0a5c-7b8e-4f61-9c3a-0a8f7a1c2d3e")
    node.catalog.replace(replace(origin, filesystem=holds))
    node.administration.snapshot("disk", "monday")
    made = node.create("copy", {"clone_of": "disk@monday", "disk": "yes"}).filesystem
    assert (made.formatted, made.uuid) == (Formatted.CLONED, holds.uuid)


def test_volume_from_what_is_not_there(node: SmallNode) -> None:
    """No snapshot, or no volume, is refused for good, and leaves no half-made volume."""
    for origin in ("data@never", "never@data"):
        with pytest.raises(InvalidOptions, match="never"):
            node.create("copy", {"clone_of": origin})
        assert node.catalog.get("copy") is None
    with pytest.raises(InvalidOptions, match="snapshot name"):
        node.create("copy", {"clone_of": "data@"})


def test_failed_volume_from_a_snapshot_is_finished(node: SmallNode) -> None:
    """What a crash left half made is made again out of the snapshot, and not out of the volume."""
    node.administration.snapshot("data", "monday")
    node.cloud.fail("clone", Unavailable("away"), done=True)
    with pytest.raises(Unavailable):
        node.create("copy", {"clone_of": "data@monday"})
    node.restart()
    node.controller.finish("copy")
    assert node.cloud.volumes[node.record("copy").handle].origin.endswith("@monday")


def test_volume_with_snapshots_is_not_deleted(node: SmallNode) -> None:
    """They could not be reached without it; the sentence says what to do, and that then works."""
    node.administration.snapshot("data", "monday")
    with pytest.raises(VolumeInUse, match=r"\(monday\), and the fake cloud .* snapshot rm data"):
        node.service.remove("data")
    assert node.record("data").state == "ready"
    node.administration.remove_snapshot("data", "monday")
    node.service.remove("data")
    assert node.catalog.get("data") is None


def test_backend_without_the_ability(node: SmallNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsupported, for a snapshot and for a volume from one, before anything is recorded."""
    monkeypatch.setattr("volplug.snapshots.Snapshottable", int)
    monkeypatch.setattr("volplug.request.Snapshottable", int)
    with pytest.raises(Unsupported, match="cannot make snapshots of 'data'"):
        node.administration.snapshot("data", "monday")
    with pytest.raises(Unsupported, match="'gold' cannot make snapshots"):
        node.create("copy", {"clone_of": "data@monday"})
    assert node.catalog.get("copy") is None


def test_backend_that_is_away(node: SmallNode) -> None:
    """It says so, and nothing hangs."""
    node.cloud.fail("create_snapshot", Unavailable("away"))
    with pytest.raises(VolplugError, match="away"):
        node.administration.snapshot("data", "monday")
