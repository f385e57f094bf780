"""What was last read, for those who only want to look while the store is away.

A list of volumes that fails is, to an engine, a machine without volumes. So lists and looks are
answered out of memory then, and out of date by as long as the store has been away. Nothing is
decided on it: whatever changes anything compares the store itself.
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
        self._known: dict[str, T] | None = None
        self._guard = threading.Lock()

    def all(self, ask: Callable[[], dict[str, T]]) -> Mapping[str, T]:
        """Ask for everything; if the store is away, return what is known, once all was."""
        try:
            found = ask()
        except _NO_ANSWER:
            with self._guard:
                if self._known is not None:
                    return dict(self._known)
            raise
        with self._guard:
            self._known = {name: self._kept(value) for name, value in found.items()}
        return found

    def one(self, name: str, ask: Callable[[], T | None]) -> T | None:
        """Ask for one; if the store is away, return what is known of it, once all was."""
        try:
            found = ask()
        except _NO_ANSWER:
            with self._guard:
                if self._known is not None:
                    return self._known.get(name)
            raise
        self.note(name, found)
        return found

    def note(self, name: str, value: T | None) -> None:
        """Remember what one is by now; None if it is not there."""
        with self._guard:
            if self._known is not None and value is None:
                self._known.pop(name, None)
            elif self._known is not None and value is not None:
                self._known[name] = self._kept(value)
