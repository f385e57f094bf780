"""What was last read, for those who only want to look while the store is away.

A list of volumes that fails is, to an engine, a machine without volumes. So lists and looks are
answered out of memory then, and out of date by as long as the store has been away. Nothing is
decided on it: whatever changes anything compares the store itself.

Answers overtake each other: what was asked for before something else was known tells less, however
late it arrives. So each is remembered with the turn in which it was asked for.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from volplug.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")

_NO_ANSWER = (Unavailable, DeadlineExceeded)
"""Whoever asks twice, and spent all its time on the first question, is told what is known, too."""


class LastSeen(Generic[T]):
    """What was last read under each name; `kept` is what of it may be told later."""

    def __init__(self, kept: Callable[[T], T] = lambda value: value) -> None:
        self._kept = kept
        self._known: dict[str, tuple[int, T | None]] = {}
        """By name, the turn of the newest answer and the answer, None where it was not there."""
        self._turn = 0
        self._listed = 0
        """The turn of the newest answer that told all; 0 until there was one."""
        self._guard = threading.Lock()

    def all(self, ask: Callable[[], dict[str, T]]) -> Mapping[str, T]:
        """Ask for everything; if the store is away, return what is known, once all was."""
        turn = self._next()
        try:
            found = ask()
        except _NO_ANSWER:
            with self._guard:
                if not self._listed:
                    raise
                known = ((name, value) for name, (_, value) in self._known.items())
                return {name: value for name, value in known if value is not None}
        with self._guard:
            if turn > self._listed:
                newer = {name: seen for name, seen in self._known.items() if seen[0] > turn}
                listed = {name: (turn, self._kept(value)) for name, value in found.items()}
                self._known, self._listed = {**listed, **newer}, turn
        return found

    def one(self, name: str, ask: Callable[[], T | None]) -> T | None:
        """Ask for one; if the store is away, return what is known of it, once all was."""
        turn = self._next()
        try:
            found = ask()
        except _NO_ANSWER:
            with self._guard:
                if not self._listed:
                    raise
                return self._known.get(name, (0, None))[1]
        self._remember(name, found, turn)
        return found

    def note(self, name: str, value: T | None) -> None:
        """Remember what one is by now; None if it is not there."""
        self._remember(name, value, self._next())

    def _next(self) -> int:
        with self._guard:
            self._turn += 1
            return self._turn

    def _remember(self, name: str, value: T | None, turn: int) -> None:
        with self._guard:
            seen, _ = self._known.get(name, (self._listed, None))
            if turn > seen:
                self._known[name] = (turn, None if value is None else self._kept(value))
