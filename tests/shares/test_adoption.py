"""Directories that were there before a volume was made of them (path=), on every kind of tree."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shares.volumes import below, emptied, on
from volplug.errors import InvalidOptions, VolplugError, VolumeExists, VolumeNotFound
from volplug.trees.claims import place_of
from volplug.trees.local import LocalTree
from volplug.trees.options import OnDelete
from volplug.trees.subdirectories import Subdirectories
from volplug.trees.tree import Entry

pytestmark = pytest.mark.root

_CLAIMS = ".volplug/adopted"


def test_adopted_directory_is_never_deleted(share: Subdirectories) -> None:
    """An adopted directory is used as it is, and given back untouched, whatever on_delete says."""
    share.tree.mkdir("projects")
    share.tree.mkdir("projects/web")
    share.tree.write("projects/web/index", "precious")
    handle = share.adopt("web", "projects/web")
    assert share.adopt("web", "projects/web") == handle
    assert share.check("web", handle) == "projects/web"
    with pytest.raises(VolumeExists, match="already volume 'web'"):
        share.adopt("again", "projects/web")
    for on_delete in OnDelete:
        share.delete("web", handle, on_delete)
    emptied(share)
    assert share.tree.read("projects/web/index") == "precious"
    assert share.adopt("again", "projects/web") == handle


def test_directory_inside_an_adopted_one_is_refused(share: Subdirectories) -> None:
    """No directory is two volumes', whichever came first, and a refusal leaves no claim behind."""
    for path in ("a", "a/b", "a/b/c", "ab"):
        share.tree.mkdir(path)
    middle = share.adopt("middle", "a/b")
    with pytest.raises(VolumeExists, match="lies inside 'a/b', which is volume 'middle'"):
        share.adopt("inner", "a/b/c")
    with pytest.raises(VolumeExists, match="contains 'a/b', which is volume 'middle'"):
        share.adopt("outer", "a")
    assert len(below(share.tree, _CLAIMS)) == 1
    share.adopt("neighbour", "ab")
    assert share.adopt("middle", "a/b") == middle
    share.delete("middle", middle, OnDelete.DELETE)
    outer = share.adopt("outer", "a")
    share.delete("outer", outer, OnDelete.DELETE)
    share.adopt("inner", "a/b/c")
    emptied(share)


def test_claims_of_an_older_release_are_minded(share: Subdirectories) -> None:
    """Directories that lie in each other already stay with their volumes; no third one gets any."""
    for path in ("a", "a/b", "a/b/c"):
        share.tree.mkdir(path)
    handle = share.adopt("outer", "a")
    note = json.dumps({"name": "inner", "path": "a/b"})
    share.tree.mkdir(place_of("a/b"))
    share.tree.write(f"{place_of('a/b')}/volume", note)
    assert on(share.tree).adopt("outer", "a") == handle
    assert on(share.tree).adopt("inner", "a/b") == "path:a/b"
    with pytest.raises(VolumeExists, match="lies inside"):
        on(share.tree).adopt("third", "a/b/c")


class _Interrupted(LocalTree):
    """A tree where something happens just after a volume has looked for other claims."""

    def __init__(self, root: Path, happens: Callable[[], object]) -> None:
        super().__init__(root)
        self._happens = happens

    def entries(self, path: str) -> list[Entry]:
        """Let it happen when the claims were listed."""
        found = super().entries(path)
        if path == _CLAIMS:
            self._happens()
        return found


def test_nested_adoptions_at_once_do_not_miss_each_other(tmp_path: Path) -> None:
    """Whoever looks has claimed before, so the second is refused though the first is not done."""
    (tmp_path / "a/b").mkdir(parents=True)

    def adopt_inner() -> None:
        with pytest.raises(VolumeExists, match="lies inside 'a', which is volume 'outer'"):
            on(LocalTree(tmp_path)).adopt("inner", "a/b")

    on(_Interrupted(tmp_path, adopt_inner)).adopt("outer", "a")


def test_adoption_that_was_cut_short_is_not_taken_as_granted(tmp_path: Path) -> None:
    """When it is tried again its volume looks again; refused then, it leaves no claim either."""
    (tmp_path / "a/b").mkdir(parents=True)

    def die() -> None:
        raise KeyboardInterrupt

    share = on(LocalTree(tmp_path))
    share.adopt("inner", "a/b")
    with pytest.raises(KeyboardInterrupt):
        on(_Interrupted(tmp_path, die)).adopt("outer", "a")
    assert len(below(share.tree, _CLAIMS)) == 2
    with pytest.raises(VolumeExists, match="contains 'a/b', which is volume 'inner'"):
        share.adopt("outer", "a")
    assert len(below(share.tree, _CLAIMS)) == 1
    share.adopt("inner", "a/b")


@pytest.mark.parametrize(
    ("path", "kind"),
    [("..", InvalidOptions), ("a/../..", InvalidOptions), ("/etc", InvalidOptions),
     (".", InvalidOptions), ("v", InvalidOptions), ("v/data", InvalidOptions),
     (".volplug/trash", InvalidOptions), ("file", InvalidOptions), ("missing", VolumeNotFound),
     ("link", InvalidOptions), ("link/hosts", InvalidOptions)],
)  # fmt: skip
def test_only_a_directory_inside_is_adopted(
    tmp_path: Path, path: str, kind: type[VolplugError]
) -> None:
    """What is outside, ours, no directory, or behind a symlink cannot be adopted."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(kind):
        on(LocalTree(tmp_path)).adopt("data", path)
