"""What this node did and why, one JSON line per event, for who asks afterwards and for the auditor.

Built around two facts. A journal that can fail a Mount does more harm than it prevents, so a full
disk costs its lines and nothing else. And a process is killed in the middle of a line now and then:
so a line begins where a line has ended, and one that is torn is passed over by who reads.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from volplug.errors import VolplugError
from volplug.event import DURABLE, Entry, Event, Outcome

_log = logging.getLogger(__name__)

FILE_BYTES = 4 * 2**20
FILES = 8
"""How much is kept: some hundred thousand events."""

_REASON_LETTERS = 1000
_FAILURES_REMEMBERED = 1000


class Journal:
    """One node's journal in a directory; without a directory nothing is kept."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        node: str = "",
        boot_id: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        file_bytes: int = FILE_BYTES,
        files: int = FILES,
    ) -> None:
        self._directory = directory
        self._node = node
        self._boot_id = boot_id
        self._now = now
        self._file_bytes = file_bytes
        self._files = files
        self._fd = -1
        self._torn = False
        self._complained = False
        self._written = 0
        self._synced = 0
        self._failures: dict[tuple[Event, str], str] = {}
        self._writing = threading.Lock()
        self._syncing = threading.Lock()

    def note(
        self,
        event: Event,
        outcome: Outcome = Outcome.DONE,
        *,
        volume: str = "",
        node: str = "",
        token: int = 0,
        mount_id: str = "",
        by: str = "",
        reason: str = "",
    ) -> None:
        """Add an event; on the disk when this returns if it is one of DURABLE. Never raises.

        A failure that only repeats the one before of its kind is left out. Without a node it
        concerns this one. The reason must be fit for anybody's eyes; it is cut at 1,000 letters.
        """
        if self._directory is None:
            return
        entry = Entry(
            at=self._now(),
            boot=self._boot_id,
            event=event,
            outcome=outcome,
            volume=volume,
            node=node or self._node,
            token=token,
            mount_id=mount_id,
            by=by,
            reason=reason[:_REASON_LETTERS],
        )
        if self._repeats(entry):
            return
        try:
            number = self._write(self._directory, entry.to_json().encode() + b"\n")
            if event in DURABLE:
                self._sync(number)
        except OSError as error:
            if not self._complained:
                _log.error("no journal is written in %s: %s", self._directory, error)
            self._complained = True
        else:
            self._complained = False

    @contextmanager
    def step(
        self, event: Event, *, volume: str = "", node: str = "", token: int = 0, mount_id: str = ""
    ) -> Iterator[None]:
        """Note what the block does: done at its end, or failed, with the refusal's sentence."""
        note = partial(self.note, event, volume=volume, node=node, token=token, mount_id=mount_id)
        try:
            yield
        except BaseException as error:
            reason = str(error) if isinstance(error, VolplugError) else type(error).__name__
            note(Outcome.FAILED, reason=reason)
            raise
        note()

    def entries(self, volume: str | None = None, since: datetime | None = None) -> list[Entry]:
        """Return what was noted of one volume, or of all, oldest first; of `since` and later."""
        return [] if self._directory is None else read(self._directory, volume, since)

    def close(self) -> None:
        """Close the file; the next event opens it again."""
        with self._writing, self._syncing:
            self._close()

    def _repeats(self, entry: Entry) -> bool:
        key = entry.event, entry.volume
        if entry.outcome is not Outcome.FAILED:
            self._failures.pop(key, None)
            return False
        if self._failures.get(key) == entry.reason:
            return True
        if len(self._failures) >= _FAILURES_REMEMBERED:
            self._failures.clear()
        self._failures[key] = entry.reason
        return False

    def _write(self, directory: Path, line: bytes) -> int:
        """Append a line and return its number."""
        with self._writing:
            if self._fd >= 0 and os.fstat(self._fd).st_size + len(line) > self._file_bytes:
                with self._syncing:
                    os.fsync(self._fd)
                    self._close()
                    self._rotate(directory)
            if self._fd < 0:
                self._open(directory)
            line = b"\n" + line if self._torn else line
            self._torn = True
            if os.write(self._fd, line) < len(line):
                raise OSError("a line was cut short: the disk is full")
            self._torn = False
            self._written += 1
            return self._written

    def _sync(self, number: int) -> None:
        """See to it that a line is on the disk; who waits meanwhile is served by the same flush."""
        with self._syncing:
            if self._synced < number and self._fd >= 0:
                upto = self._written
                os.fsync(self._fd)
                self._synced = upto

    def _open(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(_file(directory, 0), flags, 0o600)
        size = os.fstat(self._fd).st_size
        self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _rotate(self, directory: Path) -> None:
        for number in reversed(range(self._files - 1)):
            if _file(directory, number).exists():
                _file(directory, number).replace(_file(directory, number + 1))


def read(directory: Path, volume: str | None = None, since: datetime | None = None) -> list[Entry]:
    """Return a journal's entries, oldest first; lines that are torn are passed over.

    May be asked while it is written, from any process; raises PermissionError.
    """
    found = {int(path.suffixes[0][1:]): path for path in directory.glob("events.*.jsonl")}
    entries: list[Entry] = []
    for number in sorted(found, reverse=True):
        entries += _read_file(found[number], volume)
    return [entry for entry in entries if since is None or entry.at >= since]


def _read_file(path: Path, volume: str | None) -> Iterator[Entry]:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:  # it was the oldest, and went with a rotation
        return
    for line in text.split("\n"):
        if volume is not None and volume not in line:
            continue
        try:
            entry = Entry.from_json(line)
        except ValueError:
            continue
        if volume in (None, entry.volume):
            yield entry


def _file(directory: Path, number: int) -> Path:
    return directory / f"events.{number}.jsonl"
