"""What a host's contracts work with: a volume as its catalog knows it, and a disk in a file."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from volplug.command import run
from volplug.host import Filesystem, Formatted, Host
from volplug.source import Device, LoopFile, Source
from volplug.volume import Owner

_BLOCK = 64 * 1024


class Refused(Exception):
    """A catalog's failure to remember."""


@dataclass
class Known:
    """A volume's file system as a catalog would keep it, with all that was ever remembered.

    `fails_at` is the state whose storing fails; `seen` is called before each one is stored.
    """

    filesystem: Filesystem = field(default_factory=Filesystem)
    history: list[Filesystem] = field(default_factory=list)
    fails_at: Formatted | None = None
    seen: Callable[[Filesystem], object] = lambda _: None

    def remember(self, filesystem: Filesystem) -> None:
        """Store it, or fail."""
        self.seen(filesystem)
        if filesystem.formatted is self.fails_at:
            raise Refused
        self.filesystem = filesystem
        self.history.append(filesystem)

    def stage(
        self,
        host: Host,
        name: str,
        source: Source,
        owner: Owner = Owner(),  # noqa: B008  it is frozen
        *,
        read_only: bool = False,
    ) -> Path:
        """Stage a volume with what is known of it, and return its directory."""
        host.stage(
            name,
            source,
            filesystem=self.filesystem,
            remember=self.remember,
            owner=owner,
            read_only=read_only,
        )
        path = host.path(name)
        assert path is not None, "stage succeeded, but there is no path"
        assert path.is_dir()
        return path


@dataclass(frozen=True)
class Image:
    """A disk in a file, to look at from outside."""

    path: Path
    fstype: str

    @property
    def source(self) -> Device:
        """What a driver would answer for it."""
        size_bytes = self.path.stat().st_size
        return Device(LoopFile(self.path), self.fstype, size_bytes=size_bytes)

    def write(self, offset: int, content: bytes) -> None:
        """Put bytes on it; offset -1 means at the end, -2 in the middle."""
        size_bytes = self.path.stat().st_size
        place = {-1: size_bytes - len(content), -2: size_bytes // 2}.get(offset, offset)
        with self.path.open("r+b") as file:
            file.seek(place)
            file.write(content)

    def is_zero(self) -> bool:
        """Whether there is nothing on it at all."""
        return not any(self.written().values())

    def written(self) -> dict[int, bytes]:
        """Return all that is not zero, by the place where it stands; holes are not read."""
        found = {}
        with self.path.open("rb") as file:
            for offset in _data(file.fileno()):
                content = os.pread(file.fileno(), _BLOCK, offset)
                if content.count(0) != len(content):
                    found[offset] = content
        return found

    def copy_to(self, other: "Image") -> None:
        """Make the other disk hold what this one holds."""
        run(["cp", "--sparse=always", "--", self.path, other.path])


def _data(file: int) -> Iterator[int]:
    """Yield the offsets of all blocks that are not holes."""
    offset = 0
    while True:
        try:
            offset = os.lseek(file, offset, os.SEEK_DATA) // _BLOCK * _BLOCK
        except OSError:  # ENXIO: holes up to the end
            return
        yield offset
        offset += _BLOCK
