"""What volumes that are directories of one share promise, on every kind of tree."""

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.rigs.ganesha import Ganesha
from tests.rigs.network import run, until
from tests.shares.conftest import nfs_tree
from tests.shares.volumes import below, emptied, on
from volplug.errors import (
    AccessDenied,
    Exhausted,
    InvalidOptions,
    Unavailable,
    VolumeExists,
    VolumeNotFound,
)
from volplug.trees.local import LocalTree
from volplug.trees.options import OnDelete, Ownership
from volplug.trees.subdirectories import Subdirectories
from volplug.trees.tree import Entry, Tree

pytestmark = pytest.mark.root

NAMES = [
    "data",
    "Data",
    "data.",
    "-rf",
    "..",
    "../../etc",
    "a/b",
    "a\nb",
    "ü",
    "x" * 128,
    "x" * 127,
]


@pytest.mark.parametrize("count", [2, 10])
def test_create_again_gives_the_same(tree: Tree, count: int) -> None:
    """However often, and from whichever process, the same name is the same directory."""
    handles = {on(tree).create("data", Ownership()) for _ in range(count)}
    assert len(handles) == 1
    assert len(below(tree, "v")) == 1


def test_owner_and_mode_are_verified(share: Subdirectories) -> None:
    """The directory belongs to whom it was made for, set-group bit included."""
    handle = share.create("data", Ownership(1001, 1002, 0o2770))
    found = share.tree.stat(share.check("data", handle))
    assert (found.uid, found.gid, found.mode) == (1001, 1002, 0o2770)


def test_names_become_harmless_and_distinct(share: Subdirectories) -> None:
    """No name, however hostile, becomes anything but one plain directory of its own."""
    handles = [share.create(name, Ownership()) for name in NAMES]
    assert below(share.tree, "v") == sorted(handles)
    assert len(set(handles)) == len(NAMES)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", handle) for handle in handles)


@pytest.mark.parametrize(
    "handle",
    ["", "..", "../x", "v/x", "/etc", "path:..", "path:/etc", "path:v/x", "path:.volplug", "path:.",
     "path:a/../..", "path:", "data-0123456789ab/..", "data-0123456789ab\n"],
)  # fmt: skip
def test_hostile_handle_is_refused(share: Subdirectories, handle: str) -> None:
    """A handle that is not one is refused by every verb, and nothing is touched."""
    kept = share.create("data", Ownership())
    for call in (
        lambda: share.path(handle),
        lambda: share.check("data", handle),
        lambda: share.delete("data", handle, OnDelete.DELETE),
        lambda: share.notes(handle),
        lambda: share.note(handle, {}),
    ):
        with pytest.raises(InvalidOptions):
            call()
    assert below(share.tree, "v") == [kept]


def test_crashed_create_is_finished(share: Subdirectories) -> None:
    """A directory that was made, and neither owned nor noted, is finished by the next create."""
    handle = share.create("data", Ownership())
    share.tree.unlink(f".volplug/volumes/{handle}")
    share.tree.chmod(f"v/{handle}", 0o700)
    assert on(share.tree).create("data", Ownership(5, 6, 0o750)) == handle
    found = share.tree.stat(f"v/{handle}")
    assert (found.uid, found.gid, found.mode) == (5, 6, 0o750)
    assert share.notes(handle)["name"] == "data"


def test_directory_of_another_volume_is_refused(share: Subdirectories) -> None:
    """A directory whose note names another volume is not handed out."""
    handle = share.create("data", Ownership())
    share.note(handle, {"name": "other"})
    with pytest.raises(VolumeExists, match="'other'"):
        share.create("data", Ownership())


def test_delete_is_one_step_and_repeatable(share: Subdirectories) -> None:
    """A deleted volume is gone at once, its files soon after; deleting again is success."""
    handle = share.create("data", Ownership())
    _fill(share.tree, f"v/{handle}", files=20)
    for _ in range(3):
        share.delete("data", handle, OnDelete.DELETE)
        assert below(share.tree, "v") == []
    emptied(share)
    assert below(share.tree, ".volplug/volumes") == []
    assert share.trash.removed >= 20
    with pytest.raises(VolumeNotFound, match="no directory"):
        share.check("data", handle)


@pytest.mark.parametrize(
    ("on_delete", "place"), [(OnDelete.ARCHIVE, "archived"), (OnDelete.RETAIN, "retained")]
)
def test_kept_data_can_be_found(share: Subdirectories, on_delete: OnDelete, place: str) -> None:
    """Data that is kept stands under its volume's name, and a new volume of that name is empty."""
    for text in ("first", "second"):
        handle = share.create("data", Ownership())
        assert below(share.tree, f"v/{handle}") == []
        share.tree.write(f"v/{handle}/file", text)
        share.delete("data", handle, on_delete)
    kept = below(share.tree, f".volplug/{place}")
    assert [name.split(".")[0] for name in kept] == [handle, handle]
    texts = {share.tree.read(f".volplug/{place}/{name}/file") for name in kept}
    assert texts == {"first", "second"}


def test_archive_expires_and_retained_data_does_not(share: Subdirectories) -> None:
    """After its days an archived volume is thrown away; a retained one never is."""
    for name, on_delete in (("old", OnDelete.ARCHIVE), ("kept", OnDelete.RETAIN)):
        handle = share.create(name, Ownership())
        share.delete(name, handle, on_delete)
    on(share.tree).trash.empty()
    assert len(below(share.tree, ".volplug/archived")) == 1
    on(share.tree, archive_days=-1).trash.empty()
    assert below(share.tree, ".volplug/archived") == []
    assert len(below(share.tree, ".volplug/retained")) == 1


def test_purge_follows_no_symlink(tmp_path: Path) -> None:
    """Symlinks in a deleted volume are removed, and what they point to is left alone."""
    share = on(LocalTree(tmp_path))
    kept = share.create("kept", Ownership())
    share.tree.write(f"v/{kept}/file", "precious")
    handle = share.create("data", Ownership())
    for target in (f"../{kept}", "/etc", f"../{kept}/file", "nowhere"):
        (tmp_path / "v" / handle / target.replace("/", "_")).symlink_to(target)
    share.delete("data", handle, OnDelete.DELETE)
    emptied(share)
    assert share.tree.read(f"v/{kept}/file") == "precious"


class Swapping(LocalTree):
    """A tree whose deleted volumes have a writer still, who swaps directories for symlinks.

    As the libraries of file servers do, it follows symlinks on the way to the last part of a path.
    """

    def __init__(self, root: Path, target: Path) -> None:
        super().__init__(root)
        self._path, self._target = root, target
        self.swapped = 0

    def entries(self, path: str) -> list[Entry]:
        """List, then swap."""
        found = [
            Entry(one.name, one.is_dir(follow_symlinks=False))
            for one in os.scandir(self._path / path)
        ]
        inside_a_volume = path.count("/") > 1
        for entry in found:
            if inside_a_volume and entry.directory and self.swapped < 3:
                place = self._path / path / entry.name
                place.rename(place.with_name(f"away{self.swapped}"))
                place.symlink_to(self._target)
                self.swapped += 1
        return found

    def unlink(self, path: str) -> None:
        """Follow symlinks on the way."""
        (self._path / path).unlink()

    def rename(self, old: str, new: str) -> None:
        """Follow symlinks on the way."""
        (self._path / old).rename(self._path / new)

    def rmdir(self, path: str) -> None:
        """Follow symlinks on the way."""
        (self._path / path).rmdir()


def test_purge_is_not_led_astray(tmp_path: Path) -> None:
    """A directory that becomes a symlink after it was listed leads the removal nowhere."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "share").mkdir()
    tree = Swapping(tmp_path / "share", precious)
    share = on(tree)
    handle = share.create("data", Ownership())
    tree.mkdir(f"v/{handle}/dir")
    tree.write(f"v/{handle}/dir/file", "x")
    share.trash.throw(f"v/{handle}", handle)
    share.trash.empty()
    assert tree.swapped > 0
    assert (precious / "file").exists()
    assert below(tree, ".volplug/trash") == []


def test_two_nodes_empty_one_trash(tree: Tree) -> None:
    """Several nodes may empty the trash at the same time."""
    shares = [on(tree) for _ in range(3)]
    handle = shares[0].create("data", Ownership())
    _fill(tree, f"v/{handle}", files=60)
    shares[0].trash.throw(f"v/{handle}", handle)
    for share in shares:
        share.trash.empty_soon()
    emptied(shares[0])
    until(lambda: all(one.trash.progress.endswith("; empty") for one in shares), "a quiet end")


def test_purge_does_not_hold_up_others(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a large volume is removed, others are made and looked at, and progress is told."""
    share = on(tree)
    handle = share.create("large", Ownership())
    _fill(tree, f"v/{handle}", files=100)
    unlink, go_on = tree.unlink, threading.Event()

    def unlink_late(path: str) -> None:
        """Take as long as the test wants for the second file of the trash."""
        if path.startswith(".volplug/trash/") and share.trash.removed:
            go_on.wait(20)
        unlink(path)

    monkeypatch.setattr(tree, "unlink", unlink_late)
    share.delete("large", handle, OnDelete.DELETE)
    until(lambda: share.trash.removed > 0, "the first file")
    assert "emptying" in share.trash.progress
    for number in range(5):
        other = share.create(f"other{number}", Ownership())
        share.check(f"other{number}", other)
    assert share.trash.removed < 100
    go_on.set()
    emptied(share)


def test_purge_goes_on_after_a_crash(tree: Tree) -> None:
    """What a process left in the trash is removed by the next one that deletes anything."""
    share = on(tree)
    handle = share.create("data", Ownership())
    _fill(tree, f"v/{handle}", files=5)
    share.trash.throw(f"v/{handle}", handle)
    other = on(tree)
    other.delete("nothing", other.create("nothing", Ownership()), OnDelete.DELETE)
    emptied(other)


def test_full_server_is_told(tmp_path: Path) -> None:
    """A share without room is Exhausted, with nothing left behind, and good again when it has."""
    (tmp_path / "full").mkdir()
    run("mount", "-t", "tmpfs", "-o", "nr_inodes=14", "tmpfs", str(tmp_path / "full"))
    try:
        share = on(LocalTree(tmp_path / "full"))
        first = share.create("first", Ownership())
        filled = 0
        with suppress(OSError):
            for filled in range(20):
                share.tree.write(f"v/{first}/{filled}", "")
        with pytest.raises(Exhausted, match="No space left"):
            share.create("second", Ownership())
        assert below(share.tree, "v") == [first]
        for number in range(filled):
            share.tree.unlink(f"v/{first}/{number}")
        assert share.create("second", Ownership())
    finally:
        run("umount", "-l", str(tmp_path / "full"))


def test_squashed_root_is_told_with_the_cure(
    ganesha: Ganesha, squashed: Path, refused_by: Callable[[Subdirectories], AccessDenied]
) -> None:
    """A server that maps root to nobody is refused in one sentence, with nothing left behind."""
    squashed.chmod(0o755)
    tree = nfs_tree(ganesha, squashed)
    assert "ask its owner" in str(refused_by(on(tree)))
    squashed.chmod(0o1777)
    assert "ask its owner" in str(refused_by(on(tree)))
    assert [path for path in squashed.rglob("*") if path.parent.name == "v"] == []


def test_silently_ignored_chown_is_noticed(
    ganesha: Ganesha, all_squashed: Path, refused_by: Callable[[Subdirectories], AccessDenied]
) -> None:
    """A server that says yes to chown and does nothing is found out."""
    refusal = refused_by(on(nfs_tree(ganesha, all_squashed)))
    assert "instead of 0:0 0755" in str(refusal)
    assert list((all_squashed / "v").iterdir()) == []


def test_owner_on_a_squashed_export(ganesha: Ganesha, squashed: Path) -> None:
    """Provisioning as the user that volumes belong to works where root is mapped away."""
    for path in sorted(squashed.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    squashed.chmod(0o1777)
    share = on(nfs_tree(ganesha, squashed, uid=1001, gid=1001))
    handle = share.create("data", Ownership(1001, 1001, 0o750))
    assert share.tree.stat(f"v/{handle}").uid == 1001


def test_trash_of_others_is_removed_where_root_is_nobody(ganesha: Ganesha, squashed: Path) -> None:
    """What programs wrote as other users, closed to all but them, goes with the volume."""
    for path in sorted(squashed.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    squashed.chmod(0o1777)
    share = on(nfs_tree(ganesha, squashed, uid=1001, gid=1001))
    handle = share.create("data", Ownership(1001, 1001, 0o777))
    place = squashed / "v" / handle
    for inner, owner in ((place / "a", 1002), (place / "a" / "b", 1003)):
        inner.mkdir()
        (inner / "file").write_text("x")
        os.chown(inner, owner, owner)
        inner.chmod(0o700)
    share.delete("data", handle, OnDelete.DELETE)
    emptied(share)
    assert share.trash.problem == ""


def test_dead_server_is_told(ganesha: Ganesha, pool: Path) -> None:
    """With the server gone every verb is refused in time; the volume is there when it is back."""
    share = on(nfs_tree(ganesha, pool))
    handle = share.create("data", Ownership())
    ganesha.stop()
    started = time.monotonic()
    for call in (
        lambda: share.create("new", Ownership()),
        lambda: share.check("data", handle),
        lambda: share.delete("data", handle, OnDelete.DELETE),
    ):
        with pytest.raises(Unavailable):
            call()
    assert time.monotonic() - started < 10
    ganesha.start()
    assert share.check("data", handle)
    share.delete("data", handle, OnDelete.DELETE)


@pytest.fixture
def refused_by() -> Callable[[Subdirectories], AccessDenied]:
    """Give a way to see a create refused, in less than ten seconds."""

    def refused(share: Subdirectories) -> AccessDenied:
        started = time.monotonic()
        with pytest.raises(AccessDenied) as refusal:
            share.create("data", Ownership())
        assert time.monotonic() - started < 10
        return refusal.value

    return refused


def _fill(tree: Tree, path: str, *, files: int) -> None:
    """Put files into a volume, some of them in directories of directories."""
    tree.mkdir(f"{path}/a")
    tree.mkdir(f"{path}/a/b")
    places = [path, f"{path}/a", f"{path}/a/b"]
    for number in range(files):
        tree.write(f"{places[number % 3]}/{number}", "x")
