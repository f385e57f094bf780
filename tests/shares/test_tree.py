"""What every Tree promises, on a real file system, NFS server and Gluster volume alike."""

import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from volplug.deadline import deadline
from volplug.trees.local import LocalTree
from volplug.trees.remote import RemoteTree
from volplug.trees.tree import ENTRIES_AT_ONCE, Entry, Tree


@contextmanager
def fails_with(number: int) -> Iterator[None]:
    """Expect an OSError with that errno."""
    with pytest.raises(OSError, match=".*") as raised:  # noqa: RUF043  any words will do
        yield
    assert raised.value.errno == number


def test_directory_is_made_once(tree: Tree) -> None:
    """Of many who make a directory exactly one succeeds: that is what a claim is made of."""

    def claim(_: int) -> bool:
        try:
            tree.mkdir("claim")
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as callers:
        assert sum(callers.map(claim, range(8))) == 1


def test_owner_and_mode_are_what_was_set(tree: Tree) -> None:
    """Owner and permissions, the set-group bit included, can be set and seen."""
    if os.geteuid() != 0:
        pytest.skip("needs root: only root gives directories away")
    tree.mkdir("d")
    tree.chown("d", 1001, 1002)
    tree.chmod("d", 0o2770)
    found = tree.stat("d")
    assert (found.directory, found.uid, found.gid, found.mode) == (True, 1001, 1002, 0o2770)


def test_small_file_is_read_back(tree: Tree) -> None:
    """A file is read back as written, and a shorter text leaves nothing of a longer one."""
    tree.write("note", "a long héllo")
    tree.write("note", "short")
    assert tree.read("note") == "short"
    tree.write("note", "")
    assert tree.read("note") == ""


def test_rename_replaces_a_file(tree: Tree) -> None:
    """Rename is one step, and takes the place of a file that was there."""
    tree.write("old", "1")
    tree.write("new", "2")
    tree.rename("new", "old")
    assert tree.read("old") == "2"
    assert not tree.exists("new")


def test_what_other_nodes_did_is_seen_at_once(tree: Tree, tmp_path: Path) -> None:
    """No cache stands between two nodes: neither texts, nor names, nor owners are old."""
    other = RemoteTree(tree._argv) if isinstance(tree, RemoteTree) else LocalTree(tmp_path)
    for number in range(3):
        tree.write("fresh", f"text {number}")
        tree.rename("fresh", "note")
        assert other.read("note") == f"text {number}"
        tree.chmod("note", 0o600 + number)
        assert other.stat("note").mode == 0o600 + number
        tree.mkdir(f"d{number}")
        assert f"d{number}" in [entry.name for entry in other.entries(".")]
        tree.rmdir(f"d{number}")
        assert not other.exists(f"d{number}")


def test_file_that_is_replaced_is_read(tree: Tree) -> None:
    """Whoever reads a file while others replace it sees one of them whole, and no error."""
    tree.write("note", "text 0")
    stop = threading.Event()

    def replace(number: int) -> None:
        while not stop.is_set():
            tree.write(f"new{number}", f"text {number}")
            tree.rename(f"new{number}", "note")
            stop.wait(0.002)

    with ThreadPoolExecutor(2) as writers:
        running = [writers.submit(replace, number) for number in (1, 2)]
        try:
            for _ in range(100):
                assert tree.read("note").startswith("text ")
        finally:
            stop.set()
    for one in running:
        one.result()


@pytest.mark.parametrize(
    ("verb", "arguments", "number"),
    [
        ("stat", ("missing",), errno.ENOENT),
        ("entries", ("missing",), errno.ENOENT),
        ("entries", ("file",), errno.ENOTDIR),
        ("rmdir", ("full",), errno.ENOTEMPTY),
        ("rmdir", ("missing",), errno.ENOENT),
        ("unlink", ("missing",), errno.ENOENT),
        ("rename", ("missing", "other"), errno.ENOENT),
        ("read", ("missing",), errno.ENOENT),
        ("mkdir", ("missing/d",), errno.ENOENT),
        ("mkdir", ("full",), errno.EEXIST),
    ],
)
def test_failures_carry_their_errno(
    tree: Tree, verb: str, arguments: tuple[str, ...], number: int
) -> None:
    """What a file's verb could not do is told by errno, never in silence, and the tree lives on."""
    tree.mkdir("full")
    tree.write("full/file", "x")
    tree.write("file", "x")
    with fails_with(number):
        getattr(tree, verb)(*arguments)
    assert tree.exists("full")


def test_no_path_leaves_the_tree(tree: Tree) -> None:
    """A path that could lead out is refused by every verb before it reaches a server."""
    tree.write("mine", "x")
    for path in ("..", "../x", "/etc", "a/../../x", "a//b", "", "a/.", "a\0b"):
        for call in (tree.mkdir, tree.stat, tree.entries, tree.rmdir, tree.unlink, tree.read):
            with fails_with(errno.EINVAL):
                call(path)
        with fails_with(errno.EINVAL):
            tree.rename("mine", path)


def test_listing_names_everything(tree: Tree) -> None:
    """Any name that a server allows is listed with its kind, and a page has an end."""
    names = ["-rf", "a b", "neu\nline", "ü", "z" * 255]
    tree.mkdir("d")
    for name in names:
        tree.write(f"d/{name}", "x")
    tree.mkdir("d/sub")
    found = tree.entries("d")
    assert {entry.name: entry.directory for entry in found} == {
        **dict.fromkeys(names, False),
        "sub": True,
    }
    assert len(found) <= ENTRIES_AT_ONCE


def test_too_long_a_name_is_refused(tree: Tree) -> None:
    """A name over 255 bytes is ENAMETOOLONG."""
    with fails_with(errno.ENAMETOOLONG):
        tree.mkdir("z" * 256)


def test_space_is_told(tree: Tree) -> None:
    """The file system's size and what is left of it are told."""
    space = tree.statvfs(".")
    assert space.total_bytes > space.available_bytes > 0


def test_answer_comes_within_a_deadline(tree: Tree) -> None:
    """An ordinary answer needs no more than a second or two, the child's start included."""
    with deadline(5):
        assert isinstance(tree.stat("."), Entry)
