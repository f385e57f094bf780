"""Deleted directory trees, and their removal bit by bit in the background.

A deleted volume may hold millions of files, so deleting is one rename into the trash. A directory
found while emptying another one is itself renamed to the top of the trash first: then only the last
part of a path is ever the deleted volume's own choice, no swapped symlink can lead the removal
elsewhere, and every path is two parts long, which is what each call costs over NFS
(backends-file 1.6). Any number of nodes may empty one trash: what is gone already is success.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from volplug.deadline import deadline
from volplug.errors import VolplugError
from volplug.trees.tree import ENTRIES_AT_ONCE, Entry, Tree

_log = logging.getLogger(__name__)

_STEP_S = 30.0
"""How long the server may take for one call before the emptying is put off."""

RETRY_S = 60.0
"""How long it is put off, unless another volume is deleted meanwhile."""


class Trash:
    """One directory of a tree, `place`, whose contents are on their way out."""

    def __init__(
        self, tree: Tree, place: str, *, archived: str, archive_days: float, rate_per_s: int
    ) -> None:
        self._tree, self._place = tree, place
        self._archived, self._archive_days = archived, archive_days
        self._rate_per_s = rate_per_s
        self._guard = threading.Lock()
        self._working = False
        self._wanted = threading.Event()
        self.removed = 0
        """How many files and directories this process has removed."""
        self.problem = ""
        """Why the emptying does not go on at the moment."""

    def throw(self, path: str, name: str, *, into: str | None = None) -> bool:
        """Move a tree away in one step, into the trash if not told; False if it is gone already."""
        try:
            # The time is for the archive, and for people who look for what they deleted.
            target = f"{into or self._place}/{name}.{int(time.time())}.{_token()}"
            self._tree.rename(path, target)
        except FileNotFoundError:
            return False
        return True

    def empty_soon(self) -> None:
        """Empty the trash in the background, resuming what was left; repeating is success."""
        with self._guard:
            self._wanted.set()
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, name="volplug-trash", daemon=True).start()

    def empty(self) -> int:
        """Remove all that is in the trash now, and return how many entries could not be.

        Raises what the server's failure is; a repeat goes on from there.
        """
        self._throw_expired()
        stuck: set[str] = set()
        while True:
            found = [one for one in self._entries(self._place) if one.name not in stuck]
            if not found:
                return len(stuck)
            for entry in found:
                try:
                    self._remove(entry)
                except OSError as error:
                    stuck.add(entry.name)
                    self.problem = f"{self._place}/{entry.name}: {error.strerror}"
            if len(stuck) >= ENTRIES_AT_ONCE:
                return len(stuck)

    @property
    def progress(self) -> str:
        """What an operator is told, without asking the server."""
        state = self.problem or ("emptying" if self._working else "empty")
        return f"{self.removed} entries removed; {state}"

    def _work(self) -> None:
        """Empty until nothing is left, putting it off for a while when the server fails."""
        while True:
            with self._guard:
                if not self._wanted.is_set():
                    self._working = False
                    return
                self._wanted.clear()
            self.problem = ""
            try:
                left = self.empty()
            except (VolplugError, OSError) as error:
                left, self.problem = 1, str(error)
            if left:
                _log.warning("trash put off place=%s reason=%s", self._place, self.problem)
                self._wanted.wait(RETRY_S)
                self._wanted.set()

    def _throw_expired(self) -> None:
        oldest = time.time() - self._archive_days * 86400
        for entry in self._entries(self._archived):
            since = entry.name.split(".")[-2:-1]
            if since and since[0].isdigit() and int(since[0]) < oldest:
                self._step(
                    self._tree.rename, f"{self._archived}/{entry.name}", f"{self._place}/{_token()}"
                )

    def _remove(self, entry: Entry) -> None:
        path = f"{self._place}/{entry.name}"
        if not entry.directory:
            self._step(self._tree.unlink, path)
            return
        while inner := self._entries(path):
            for one in inner:
                inner_path = f"{path}/{one.name}"
                if one.directory:
                    self._step(self._tree.rename, inner_path, f"{self._place}/{_token()}")
                else:
                    self._step(self._tree.unlink, inner_path)
        self._step(self._tree.rmdir, path)

    def _entries(self, path: str) -> list[Entry]:
        with deadline(_STEP_S), suppress(FileNotFoundError):
            return self._tree.entries(path)
        return []

    def _step(self, verb: Callable[..., None], *paths: str) -> None:
        """Do one thing, at the agreed rate; somebody else having done it is success."""
        started = time.monotonic()
        try:
            with deadline(_STEP_S):
                verb(*paths)
        except FileNotFoundError:
            return
        self.removed += 1
        pause = 1 / self._rate_per_s - (time.monotonic() - started)
        if pause > 0:
            time.sleep(pause)


def _token() -> str:
    return secrets.token_hex(8)
