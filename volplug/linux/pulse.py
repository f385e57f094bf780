"""Whether mounted shares still answer, found out by children that can be killed.

On a dead server's hard mount statfs never returns, and a thread of ours that called it could never
be stopped. It has to be statfs: on NFS a plain stat is answered from a cache for up to a minute, so
that it succeeds long after the server is gone (measured on Linux 6.1). A file server that refuses
us an answer has answered, too.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from errno import ENODEV, ENOTCONN, ESTALE
from pathlib import Path
from time import monotonic
from typing import TypeAlias

from volplug.command import run
from volplug.deadline import deadline
from volplug.errors import DeadlineExceeded, VolplugError
from volplug.linux.mountinfo import Mount

PATIENCE_S = 5.0
"""How long a server may take before its mount counts as degraded."""
FRESH_S = 10.0
"""How old an answer may be before the question is put again."""

_SERVED = ("nfs", "cifs", "smb", "ceph", "fuse", "9p", "lustre", "gpfs")
_GONE = tuple(os.strerror(number) for number in (ENODEV, ENOTCONN, ESTALE))


class Answer(StrEnum):
    """What a share said."""

    FINE = "fine"
    SILENT = "degraded"  # nothing in time: it may come back by itself
    GONE = "broken"  # this mount will never work again, though a new one may


Question: TypeAlias = Callable[[Path], Answer]


def ask(path: Path) -> Answer:
    """Ask what is mounted at a path for signs of life; returns within PATIENCE_S and a kill."""
    try:
        with deadline(PATIENCE_S):
            for question in (["--file-system", "--format=%T"], ["--format=%i"]):
                run(["stat", *question, "--", path])
    except DeadlineExceeded:
        return Answer.SILENT
    except VolplugError as error:
        return Answer.GONE if any(words in str(error) for words in _GONE) else Answer.FINE
    return Answer.FINE


@dataclass
class _Pulse:
    """What is known of one mount; times are of the monotonic clock but `heard_at`, for people."""

    mount: int
    heard_at: datetime
    answer: Answer = Answer.FINE
    asked_s: float = float("-inf")
    waiting: bool = False


class Pulses:
    """The shares of this machine by the names of their volumes, each asked by one child at a time.

    Nothing here waits for an answer: what is told is what was heard last.
    """

    def __init__(self, question: Question = ask, now_s: Callable[[], float] = monotonic) -> None:
        self._question = question
        self._now_s = now_s
        self._mutex = threading.Lock()
        self._known: dict[str, _Pulse] = {}

    def trouble(self, name: str, mount: Mount) -> str:
        """Return what is wrong by the last answer, for people; ask again if that is old.

        Nothing is ever wrong with what needs no server.
        """
        if not mount.fstype.startswith(_SERVED):
            return ""
        answer, heard_at = self._feel(name, mount)
        if answer is Answer.SILENT:
            return f"{answer}: {mount.source} has not answered since {heard_at:%FT%TZ}"
        if answer is Answer.GONE:
            return f"{answer}: this mount of {mount.source} will not work again; it is mounted anew"
        return ""

    def _feel(self, name: str, mount: Mount) -> tuple[Answer, datetime]:
        with self._mutex:
            pulse, now_s = self._pulse(name, mount), self._now_s()
            if not pulse.waiting and now_s - pulse.asked_s >= FRESH_S:
                pulse.waiting, pulse.asked_s = True, now_s
                work = (pulse, Path(mount.mountpoint))
                threading.Thread(
                    target=self._ask, args=work, name=f"pulse {name}", daemon=True
                ).start()
            late = pulse.waiting and now_s - pulse.asked_s > 2 * PATIENCE_S
            return Answer.SILENT if late else pulse.answer, pulse.heard_at

    def is_gone(self, name: str, mount: Mount) -> bool:
        """Say whether the last answer was that this mount will never work again."""
        with self._mutex:
            return self._pulse(name, mount).answer is Answer.GONE

    def forget(self, name: str) -> None:
        """Forget a volume that is not mounted here any more."""
        with self._mutex:
            self._known.pop(name, None)

    def _pulse(self, name: str, mount: Mount) -> _Pulse:
        pulse = self._known.get(name)
        if pulse is None or pulse.mount != mount.number:
            pulse = self._known[name] = _Pulse(mount.number, datetime.now(UTC))
        return pulse

    def _ask(self, pulse: _Pulse, path: Path) -> None:
        answer = Answer.SILENT
        try:
            answer = self._question(path)
        finally:
            with self._mutex:
                pulse.answer, pulse.waiting = answer, False
                if answer is not Answer.SILENT:
                    pulse.heard_at = datetime.now(UTC)
