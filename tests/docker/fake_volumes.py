"""Volumes in memory that misbehave on request, and write down what they were asked.

A volume's name says how it behaves: `hang-…` waits in Mount until the gate opens, and so on. What
was asked goes to a file, one JSON array a line, so that a test in another process can read it.
"""

import json
import os
import signal
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from volplug.deadline import remaining, wait_until
from volplug.errors import HeldElsewhere, Unavailable, VolumeExists
from volplug.listing import Listing
from volplug.volume import check_name

BORN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


class FakeVolumes:
    """What the front drives in its tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.gate = root / "gate"  # what hangs, hangs until this file exists
        self.broken = root / "broken"  # the store cannot be read while this file exists
        self.diary = root / "diary"
        self.diary.touch()
        self._options: dict[str, Mapping[str, str]] = {}
        self._mutex = threading.Lock()

    def asked(self) -> list[list[str]]:
        """Return what was asked so far."""
        return [json.loads(line) for line in self.diary.read_text().splitlines()]

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make a volume."""
        self._note("create", name, json.dumps(options, sort_keys=True))
        with self._mutex:
            if self._options.setdefault(name, options) != options:
                raise VolumeExists(f"volume {name} exists with other options")

    def remove(self, name: str) -> None:
        """Delete a volume."""
        self._note("remove", name)
        with self._mutex:
            self._options.pop(name, None)

    def mount(self, name: str, mount_id: str) -> Path:
        """Mount a volume, or do what its name says."""
        self._note("mount", name, mount_id, f"{remaining():.0f}")
        if name.startswith("hang"):
            wait_until(self.gate.exists, "the gate", poll_s=0.02)
        if name == "held":
            raise HeldElsewhere("volume held is used by node b since noon: stop it there")
        if name == "silent":
            raise HeldElsewhere
        if name == "bug":
            raise ZeroDivisionError("secret detail")
        if name == "die" and self.gate.exists():
            self.gate.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return {
            "nowhere": Path(),
            "relative": Path("data"),
            "rootdir": Path("/"),
            "dots": Path("/a/../b"),
        }.get(name, self.root / name)

    def unmount(self, name: str, mount_id: str) -> None:
        """End a mount."""
        self._note("unmount", name, mount_id)

    def get(self, name: str) -> Listing | None:
        """Return a volume."""
        self._check()
        if name == "bug":
            raise ZeroDivisionError
        return self._listing(name) if name in self._options else None

    def list(self) -> list[Listing]:
        """Return all volumes."""
        self._check()
        return [self._listing(name) for name in sorted(self._options)]

    def activated(self) -> None:
        """Note it, if the store is well."""
        self._check()
        self._note("activated")

    def _check(self) -> None:
        if self.broken.exists():
            raise Unavailable("the store cannot be read")

    def _note(self, *words: str) -> None:
        if len(words) > 1:
            check_name(words[1])  # nothing else may get past the front
        with self._mutex, self.diary.open("a") as diary:
            diary.write(json.dumps(words) + "\n")

    def _listing(self, name: str) -> Listing:
        status: dict[str, str | int | float | bool | None] = {"backend": "fake", "weight": 1.5}
        if name == "odd":
            status["weight"] = float("nan")
            return Listing(name, BORN.replace(tzinfo=None), None, status)
        return Listing(name, BORN, self.root / name if name == "data" else None, status)
