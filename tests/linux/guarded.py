"""A guard to try on this machine: its process, its post, and a line to it."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.linux.guard_writer import RECORD_BYTES, SYNCED, record
from volplug.deadline import deadline, wait_until
from volplug.host import Filesystem, Formatted
from volplug.linux import LinuxHost
from volplug.linux.guard import Post, wire
from volplug.source import Device, LoopFile
from volplug.testing import Known

ROOT = Path(__file__).parents[2]
FREEZE_S, STOP_S, HEALED_S = 0.6, 1.5, 30.0


def boottime_s() -> float:
    """Return the guard's time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Guarded:
    """A machine with a guard whose agent is the test."""

    post: Post
    line: socket.socket | None = None
    writers: list["Writer"] = field(default_factory=list)

    def begin(self) -> None:
        """Leave a guard behind, as an agent does, and connect to it."""
        words = [sys.executable, "-m", "volplug.linux.guard", *self.post.words]
        subprocess.run(words, check=True, cwd=ROOT)
        if self.line is not None:
            self.line.close()
        self.line = wire.connect(self.post.directory, 10.0)

    def ask(self, **words: Any) -> Any:
        """Say something to the guard, and return its answer."""
        assert self.line is not None
        wire.send(self.line, words)
        answer = wire.receive(self.line)
        assert answer is not None, self.log()
        return answer

    def arm(
        self, volume: str, token: int = 7, *, staged: bool = True, stop_s: float = STOP_S
    ) -> float:
        """Arm a volume as of now, and return the base."""
        base_s = boottime_s()
        times = {"freeze_s": FREEZE_S, "stop_s": stop_s}
        refused = self.ask(do="arm", volume=volume, token=token, base_s=base_s, **times)["refused"]
        assert refused == ""
        if staged:
            self.ask(do="staged", volume=volume, token=token)
        return base_s

    def states(self) -> dict[str, tuple[int, bool]]:
        """Return how each volume stands, and whether its stop has worked."""
        armed = self.ask(do="look")["armed"]
        return {volume: (state, done) for volume, _, state, done in armed}

    def wait(self, volume: str, state: int, *, done: bool = False) -> None:
        """Wait until a volume stands so."""
        with deadline(20.0):
            wait_until(lambda: self.states()[volume] == (state, done), "the guard", poll_s=0.01)

    def has_writing(self, writer: "Writer", seconds: float = 20.0) -> None:
        """Renew as an agent does, until the writer has written on; raise DeadlineExceeded if not.

        One renewal may be frozen again before a busy machine lets anybody write.
        """
        reached = len(writer.acknowledged())

        def wrote() -> bool:
            self.ask(do="renew", base_s=boottime_s())
            return len(writer.acknowledged()) > reached + 20

        with deadline(seconds):
            wait_until(wrote, "writes")

    def process(self) -> int:
        """Return the number of the guard's process."""
        return int(self.ask(do="look")["process"])

    def log(self) -> str:
        """Return what the guard had to say."""
        return (self.post.directory / wire.LOG).read_text()

    def end(self) -> None:
        """Disarm everything and have the guard end; it must not be there afterwards."""
        for writer in self.writers:
            writer.end()
        if self.line is None:
            return
        with suppress(OSError, AssertionError):
            process = self.process()
            for volume in self.states():
                self.ask(do="disarm", volume=volume, token=None)
            self.ask(do="end")
            with deadline(20.0):
                wait_until(lambda: not alive(process), "the guard's end")
        self.line.close()


def alive(process: int) -> bool:
    """Say whether a process runs; one that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


class Writer:
    """A guard_writer in a directory, whose words are kept outside of it."""

    def __init__(self, directory: Path, words: Path) -> None:
        self.words = words
        with words.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.linux.guard_writer", directory], stdout=out, cwd=ROOT
            )
        with deadline(20.0):
            wait_until(lambda: len(self.acknowledged()) > 20, "writes", poll_s=0.01)

    def lines(self) -> list[list[str]]:
        """Return what it has said in whole lines."""
        return [line.split() for line in self.words.read_text().split("\n")[:-1]]

    def acknowledged(self) -> list[tuple[int, float]]:
        """Return the numbers of its acknowledged writes, with the time of each."""
        return [(int(words[0]), float(words[1])) for words in self.lines() if words[0] != "error"]

    def failed(self) -> bool:
        """Say whether it has ended: by an error, or by the signal of a page it cannot have."""
        return self.process.poll() is not None

    def end(self) -> None:
        """Kill it, however it waits."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(20.0)


def stage(host: LinuxHost, base: Path, name: str, fstype: str) -> Path:
    """Stage a volume on an image of its own, and return its directory."""
    image = base / f"{name}.img"
    with image.open("wb") as file:
        file.truncate((320 if fstype == "xfs" else 32) << 20)
    Known().stage(host, name, Device(LoopFile(image), fstype))
    path = host.path(name)
    assert path is not None
    return path


def staged_again(host: LinuxHost, base: Path, fstype: str) -> Path:
    """Stage a volume that was stopped, as its next holder does, which replays its journal."""
    found = subprocess.run(
        ["blkid", "-p", "-s", "UUID", "-o", "value", base / "data.img"],
        check=True,
        capture_output=True,
        text=True,
    )
    known = Known(Filesystem(Formatted.READY, fstype, found.stdout.strip()))
    known.stage(host, "data", Device(LoopFile(base / "data.img"), fstype))
    path = host.path("data")
    assert path is not None
    return path


def content(image: Path) -> str:
    """Return a digest of an image as its file has it, holes skipped."""
    digest = hashlib.sha256()
    with image.open("rb") as file:
        position = 0
        while True:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                return digest.hexdigest()
            position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            digest.update(f"{start} {position}".encode())
            digest.update(file.read(position - start))


def missing(directory: Path, writer: Writer) -> list[int]:
    """Return the acknowledged records that are not in the file."""
    found = (directory / SYNCED).read_bytes()
    numbers = [number for number, _ in writer.acknowledged()]
    at = [found[number * RECORD_BYTES : (number + 1) * RECORD_BYTES] for number in numbers]
    return [number for number, bytes_ in zip(numbers, at, strict=True) if bytes_ != record(number)]
