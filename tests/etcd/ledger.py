"""A storage that keeps the order in which it was written, and by whom: what a stale write shows in.

It admits any writer, unless it is told to refuse those of a token and of all that came before it.
"""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path


def boottime_s() -> float:
    """Return seconds since this machine was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Entry:
    """One write."""

    token: int
    at_s: float


class Ledger:
    """The storage of one volume: a file; `fences` says whether it can refuse a token."""

    def __init__(self, path: Path, *, fences: bool) -> None:
        self.volume = path.name
        self.fences = fences
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._refused_below = 0
        self._turn = threading.Lock()

    def write(self, token: int) -> bool:
        """Append the token and the time, and say whether that was admitted."""
        with self._turn:
            if token < self._refused_below:
                return False
            os.write(self._file, f"{token} {boottime_s()}\n".encode())
            return True

    def fence(self, token: int) -> None:
        """Refuse this token and all before it from now on. Repeating is success."""
        assert self.fences
        with self._turn:
            self._refused_below = max(self._refused_below, token + 1)

    def entries(self) -> list[Entry]:
        """Return all writes, in order."""
        words = (line.split() for line in self._path.read_text().splitlines())
        return [Entry(int(token), float(at_s)) for token, at_s in words]

    def close(self) -> None:
        """Admit nothing any more."""
        os.close(self._file)
