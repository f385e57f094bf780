"""Claims of directories that were there before, so that no part of one is two volumes'.

    .volplug/adopted/KEY/volume     whose the directory is, and its path
    .volplug/adopted/KEY/note       what else is known of the volume

Whoever claims a directory writes that down first and looks for others afterwards, so that two at
once cannot miss each other. Until then the claim is `tentative`: it counts for others, but its own
volume looks again if a crash has cut it short.

Two limits: of more claims than `Tree.entries` lists at once, only that many are looked at; and two
volumes that claim the very same directory in the same moment may both find it free.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress

from volplug.errors import VolumeExists
from volplug.trees.handle import OURS
from volplug.trees.note import read_note, write_note
from volplug.trees.trash import Trash
from volplug.trees.tree import Tree

_PLACE = f"{OURS}/adopted"


class Claims:
    """The claims on one tree. `share` names it to people."""

    def __init__(self, tree: Tree, trash: Trash, share: str) -> None:
        self._tree, self._trash, self._share = tree, trash, share

    def take(self, name: str, path: str) -> None:
        """Claim a directory for a volume; having done so before is success.

        Raises VolumeExists, with nothing left behind, if it, one above it or one below it is
        another volume's. Of two at once both may be refused.
        """
        place = place_of(path)
        with suppress(FileExistsError):
            self._tree.mkdir(place)
        known = read_note(self._tree, f"{place}/volume")
        owner = known.get("name", name)
        if owner != name:
            raise self._refusal(name, path, f"is already volume '{owner}'")
        if known and not known.get("tentative"):
            return
        claim = {"name": name, "path": path}
        write_note(self._tree, f"{place}/volume", claim | {"tentative": True})
        for other, owner in self._others(name):
            if nested := _nested(path, other):
                self.give_back(path)
                self._trash.empty_soon()
                raise self._refusal(name, path, f"{nested} '{other}', which is volume '{owner}'")
        write_note(self._tree, f"{place}/volume", claim)

    def give_back(self, path: str) -> None:
        """Let others claim a directory; that nobody has claimed it is success."""
        self._trash.throw(place_of(path), "claim")

    def _others(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield the directories of all other volumes, and the names of those."""
        for entry in self._tree.entries(_PLACE):
            known = read_note(self._tree, f"{_PLACE}/{entry.name}/volume")
            if known.get("name", name) != name:
                yield known["path"], known["name"]

    def _refusal(self, name: str, path: str, why: str) -> VolumeExists:
        return VolumeExists(
            f"volume '{name}': the directory '{path}' of {self._share} {why}; remove that volume "
            "first"
        )


def place_of(path: str) -> str:
    """Return where the claim of a directory is."""
    return f"{_PLACE}/{hashlib.sha256(path.encode()).hexdigest()[:32]}"


def _nested(path: str, other: str) -> str:
    """Say how one directory lies to another; nothing if they are apart."""
    if path.startswith(f"{other}/"):
        return "lies inside"
    return "contains" if other.startswith(f"{path}/") else ""
