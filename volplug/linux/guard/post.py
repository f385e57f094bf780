"""What a guard stands for, and how it says what it did without ever waiting to be heard."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from volplug.linux.guard.child import Child


@dataclass(frozen=True, slots=True)
class Post:
    """What a guard stands for: the directories of one volplug on one machine, in one boot."""

    state_dir: Path
    mount_dir: Path
    boot_id: str
    watchdog: Path | None = None
    watchdog_s: int = 10

    @property
    def directory(self) -> Path:
        """Where the guard's own files are."""
        return self.state_dir / "guard"

    @property
    def words(self) -> list[str]:
        """The post as the arguments of a program, which `of` reads."""
        watchdog = [str(self.watchdog), str(self.watchdog_s)] if self.watchdog else []
        return [str(self.state_dir), str(self.mount_dir), self.boot_id, *watchdog]

    @classmethod
    def of(cls, words: list[str]) -> "Post":
        """Read the arguments of a program."""
        state_dir, mount_dir, boot_id, *watchdog = words
        if not watchdog:
            return cls(Path(state_dir), Path(mount_dir), boot_id)
        return cls(Path(state_dir), Path(mount_dir), boot_id, Path(watchdog[0]), int(watchdog[1]))


class Log:
    """Lines for people, written by a child: a reader that is stuck must not stop the guard."""

    def __init__(self) -> None:
        self._writer = Child(_copy_to_stderr)

    def write(self, line: str) -> None:
        """Hand a line on; it is dropped if too many are waiting."""
        now = time.strftime("%F %T", time.gmtime())
        self._writer.tell(f"{now} volplug guard: {line}\n".encode()[:4000])


def _copy_to_stderr(told: int) -> int:
    while line := os.read(told, 1 << 16):
        os.write(2, line)
    return 0
