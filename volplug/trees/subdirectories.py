"""Volumes that are directories of one share: the one implementation for every tree backend.

    v/ID                     a volume's data
    .volplug/volumes/ID      what is known of it, a line of JSON
    .volplug/trash/          deleted volumes, on their way out
    .volplug/archived/       deleted with on_delete=archive: thrown away after some days
    .volplug/retained/       deleted with on_delete=retain: an operator's to move or remove
    .volplug/adopted/KEY     claims of directories that were there before (path=)

An ID is made of the name and its hash, never the name itself, and is checked anew at each use: a
driver that trusted a path it had stored could be made to delete outside its tree (CVE-2026-3864).
Making the directory is the claim: of several creates exactly one makes it, and whoever finds it
made reads whose it is. An adopted directory is never renamed or removed by anything here.
"""

import errno
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from volplug.errors import (
    AccessDenied,
    Exhausted,
    HostError,
    InvalidOptions,
    Unavailable,
    VolumeExists,
    VolumeNotFound,
)
from volplug.trees import claims
from volplug.trees import handle as tree_handle
from volplug.trees.claims import Claims
from volplug.trees.handle import OURS
from volplug.trees.note import read_note, write_note
from volplug.trees.options import OnDelete, Ownership, SubdirectoryOptions
from volplug.trees.trash import Trash
from volplug.trees.tree import Tree
from volplug.volume import Volume

_LAYOUT = [
    f"{OURS}/{name}" for name in ("volumes", "trash", "archived", "retained", "adopted", "locks")
]
_ERRNOS = {
    errno.EACCES: AccessDenied,
    errno.EPERM: AccessDenied,
    errno.EROFS: AccessDenied,
    errno.ENOSPC: Exhausted,
    errno.EDQUOT: Exhausted,
    errno.EMLINK: Exhausted,
    errno.ENOENT: VolumeNotFound,
    errno.ESTALE: Unavailable,
}


_PLACES = {
    OnDelete.DELETE: f"{OURS}/trash",
    OnDelete.ARCHIVE: f"{OURS}/archived",
    OnDelete.RETAIN: f"{OURS}/retained",
}


class Subdirectories:
    """The volumes of one tree. `share` names it to people, `cure` says how to let us write there.

    Every verb is safe to repeat, from any node. A *handle* is what `create` and `adopt` return.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        share: str,
        cure: str,
        archive_days: float = 30.0,
        purge_rate_per_s: int = 2000,
    ) -> None:
        self.tree = tree
        self._share, self._cure = share, cure
        self._laid_out = threading.Event()
        self.trash = Trash(
            tree,
            f"{OURS}/trash",
            archived=f"{OURS}/archived",
            archive_days=archive_days,
            rate_per_s=purge_rate_per_s,
        )
        self._claims = Claims(tree, self.trash, share)

    def make(self, name: str, options: SubdirectoryOptions) -> str:
        """Do what `create`, or for `path=` what `adopt` does, and return the handle."""
        if options.path is not None:
            return self.adopt(name, options.path)
        return self.create(name, Ownership(options.uid, options.gid, options.mode))

    def remove(self, volume: Volume[Any], default: OnDelete) -> None:
        """Delete a volume as its options say, or else as the operator's do."""
        self.delete(volume.name, volume.handle, volume.options.on_delete or default)

    def describe(self, volume: Volume[Any], default: OnDelete) -> dict[str, str]:
        """Tell where a volume is, what its deletion will do, and how far earlier ones have come."""
        adopted = tree_handle.is_adopted(volume.handle)
        kept = "kept: the directory was adopted"
        return {
            "directory": f"{self._share}/{self.path(volume.handle)}",
            "on_delete": kept if adopted else volume.options.on_delete or default,
            "deletions": self.trash.progress,
        }

    def create(self, name: str, ownership: Ownership) -> str:
        """Make a volume's directory and return its handle; one that we made before is success.

        Raises VolumeExists if another volume has the directory; AccessDenied, with nothing left
        behind, if the server does not let us make it or keeps another owner than was asked for.
        """
        handle = tree_handle.made_of(name)
        with self._explained(name):
            self._lay_out()
            try:
                self.tree.mkdir(f"v/{handle}")
            except FileExistsError:
                if self._belongs(handle, name):
                    return handle
            try:
                self._own(name, f"v/{handle}", ownership)
                write_note(self.tree, _note(handle), {"name": name})
            except OSError:
                self._undo(f"v/{handle}")
                raise
        return handle

    def adopt(self, name: str, path: str) -> str:
        """Use a directory that is there, and never delete it; return its handle.

        Raises InvalidOptions if it is not a directory inside the share, or if volplug's own
        directories are meant, and VolumeExists if another volume has adopted it, or one above or
        below it.
        """
        tree_handle.adoptable(path)
        with self._explained(name):
            self._check_chain(name, path)
            self._lay_out()
            self._claims.take(name, path)
        return tree_handle.of_adopted(path)

    def path(self, handle: str) -> str:
        """Return where a volume's data is, relative to the share.

        Raises InvalidOptions for what is no handle, whoever stored it.
        """
        return tree_handle.path(handle)

    def check(self, name: str, handle: str) -> str:
        """Return `path` after a look that the directory is there; raise VolumeNotFound if not."""
        path = self.path(handle)
        with self._explained(name):
            self._check_chain(name, path)
        return path

    def delete(self, name: str, handle: str, on_delete: OnDelete) -> None:
        """Remove a volume in one step; its data goes in the background, or is kept as asked.

        Gone already is success. An adopted directory is only given back.
        """
        path = self.path(handle)
        with self._explained(name):
            self._lay_out()
            if tree_handle.is_adopted(handle):
                self._claims.give_back(path)
            else:
                self.trash.throw(path, handle, into=_PLACES[on_delete])
                with suppress(FileNotFoundError):
                    self.tree.unlink(_note(handle))
        self.trash.empty_soon()

    def notes(self, handle: str) -> dict[str, Any]:
        """Return what is noted of a volume; nothing if it is gone."""
        self.path(handle)
        with self._explained(handle):
            return read_note(self.tree, _note(handle))

    def note(self, handle: str, known: Mapping[str, Any]) -> None:
        """Replace what is noted of a volume, in one step."""
        self.path(handle)
        with self._explained(handle):
            write_note(self.tree, _note(handle), known)

    def _belongs(self, handle: str, name: str) -> bool:
        """Say whether the directory is finished and that volume's; VolumeExists if another's."""
        owner = read_note(self.tree, _note(handle)).get("name")
        if owner not in (None, name):
            raise VolumeExists(f"volume '{name}': its directory on {self._share} is '{owner}'s")
        return owner == name

    def _own(self, name: str, path: str, wanted: Ownership) -> None:
        """Set owner and permissions, and look whether they were; AccessDenied, undone, if not."""
        found = self.tree.stat(path)
        if (found.uid, found.gid) != (wanted.uid, wanted.gid):
            self.tree.chown(path, wanted.uid, wanted.gid)
        self.tree.chmod(path, wanted.mode)  # after chown, which clears the set-id bits
        found = self.tree.stat(path)
        if (found.uid, found.gid, found.mode) != (wanted.uid, wanted.gid, wanted.mode):
            self._undo(path)
            raise AccessDenied(
                f"volume '{name}': {self._share} made its directory {found.uid}:{found.gid} "
                f"{found.mode:04o} instead of {wanted.uid}:{wanted.gid} {wanted.mode:04o}, "
                f"so it maps users; {self._cure}"
            )

    def _undo(self, path: str) -> None:
        """Remove a directory that could not be finished, unless somebody has used it already."""
        with suppress(OSError):
            self.tree.rmdir(path)

    def _check_chain(self, name: str, path: str) -> None:
        """Raise unless each step to the path is a directory, and none a symlink."""
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            step = "/".join(parts[:count])
            try:
                directory = self.tree.stat(step).directory
            except FileNotFoundError:
                raise VolumeNotFound(
                    f"volume '{name}': there is no directory {step} on {self._share}; "
                    "is it the right share, and was the directory removed there?"
                ) from None
            if not directory:
                raise InvalidOptions(
                    f"volume '{name}': {step} on {self._share} is no directory of its own, "
                    "and symlinks are not followed"
                )

    def _lay_out(self) -> None:
        """Make our own directories once; those that are there are success."""
        if self._laid_out.is_set():
            return
        # Owners must reach what they are asked to open up in the trash, and nothing else of ours.
        modes = dict.fromkeys(["v", OURS, *_LAYOUT], 0o700)
        for path, mode in {**modes, "v": 0o711, OURS: 0o711, f"{OURS}/trash": 0o711}.items():
            try:
                self.tree.mkdir(path)
            except FileExistsError:
                continue
            self.tree.chmod(path, mode)
        self._laid_out.set()

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn what a file's verb raises into a sentence for people."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOENT:
                self._laid_out.clear()
            kind = _ERRNOS.get(error.errno or 0, HostError)
            cure = f"; {self._cure}" if kind is AccessDenied else ""
            raise kind(
                f"volume '{name}': {self._share} refused {error.filename or 'the request'}: "
                f"{error.strerror}{cure}"
            ) from error


def _note(handle: str) -> str:
    if tree_handle.is_adopted(handle):
        return f"{claims.place_of(tree_handle.path(handle))}/note"
    return f"{OURS}/volumes/{handle}"
