"""When a disk may be formatted, and when it may be mounted.

The one thing that allows mkfs is the recorded fact that the volume was never formatted; what is
found on the disk can only forbid it. The UUID is chosen and recorded before mkfs runs, so that
after a crash our own half-finished work can be told from somebody's data (backends-block 1.7).
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from volplug.crashpoint import crashpoint
from volplug.errors import HostError
from volplug.host import Filesystem, Formatted, Remember
from volplug.linux import probe
from volplug.linux.disk import Disk
from volplug.linux.filesystems import Kind
from volplug.linux.mountinfo import MountWatch
from volplug.linux.probe import Found


@dataclass(frozen=True, slots=True)
class Preparation:
    """One disk on its way to being mounted; `scratch` is a free mountpoint."""

    name: str
    disk: Disk
    kind: Kind
    filesystem: Filesystem
    remember: Remember
    read_only: bool
    scratch: Path
    watch: MountWatch

    def run(self) -> Filesystem:
        """Make the disk fit to be mounted, and return what is to be remembered once it is in use.

        Raises HostError, and changes nothing, if what lies on the disk is not what must be there.
        """
        known = self.filesystem
        if known.fstype not in ("", self.kind.name):
            raise self._refusal(f"the volume was made as {known.fstype}, not {self.kind.name}")
        steps: dict[Formatted, Callable[[], Filesystem]] = {
            Formatted.BLANK: self._blank,
            Formatted.STARTED: self._started,
            Formatted.CLONED: self._cloned,
            Formatted.READY: self._ready,
        }
        return steps[known.formatted]()

    def _blank(self) -> Filesystem:
        self._require_writable()
        with probe.claimed(self.disk):
            found = probe.look(self.disk)
            if found != Found() or not probe.is_zero(self.disk):
                raise self._refusal(f"it should be empty and holds {_shown(found)}")
        started = Filesystem(Formatted.STARTED, self.kind.name, str(uuid.uuid4()))
        self.remember(started)
        crashpoint("stage.format.remembered")
        return self._make(started)

    def _started(self) -> Filesystem:
        self._require_writable()
        with probe.claimed(self.disk):
            found = probe.look(self.disk)
            empty = found == Found() and probe.is_zero(self.disk)
        if empty:
            return self._make(self.filesystem)
        if not self._is(found, self.filesystem.uuid):
            raise self._refusal(
                f"formatting began with UUID {self.filesystem.uuid} and was cut short; now it "
                f"holds {_shown(found)}; if that is worthless, wipe the disk by hand "
                f"(`wipefs -a` and zeros over its first 4 MiB)"
            )
        self.kind.check(self.disk)
        return replace(self.filesystem, formatted=Formatted.READY)

    def _cloned(self) -> Filesystem:
        """Give the copy a UUID that follows from its origin's and its own name.

        Derived, it is known beforehand without being recorded, and again after a crash.
        """
        origin = self.filesystem.uuid
        own = str(uuid.uuid5(uuid.UUID(origin), self.name))
        found = probe.look(self.disk)
        if not (self._is(found, origin) or self._is(found, own)):
            raise self._refusal(f"it should hold a copy with UUID {origin} and holds {found}")
        if self.read_only:
            return self.filesystem
        with probe.claimed(self.disk):
            pass  # nobody uses it; the programs that follow claim it for themselves
        self.kind.renew(self.disk, own, self.scratch, self.watch)
        crashpoint("stage.format.renewed")
        self.kind.check(self.disk)
        return Filesystem(Formatted.READY, self.kind.name, own)

    def _ready(self) -> Filesystem:
        found = probe.look(self.disk)
        if not self._is(found, self.filesystem.uuid):
            raise self._refusal(
                f"it should hold {self.kind.name} with UUID {self.filesystem.uuid} and holds "
                f"{found}; is it the right disk, and readable?"
            )
        if not self.read_only and probe.is_free(self.disk):
            self.kind.check(self.disk)
        return self.filesystem

    def _make(self, started: Filesystem) -> Filesystem:
        self.kind.make(self.disk, started.uuid)
        crashpoint("stage.format.made")
        return replace(started, formatted=Formatted.READY)

    def _is(self, found: Found, uuid: str) -> bool:
        return (found.fstype, found.uuid) == (self.kind.name, uuid)

    def _require_writable(self) -> None:
        if self.read_only:
            raise self._refusal(
                "it was never formatted, and a read-only volume cannot be: make it writable "
                "first, or make it a clone of a volume that holds data"
            )

    def _refusal(self, why: str) -> HostError:
        return HostError(f"the disk {self.disk.path} of '{self.name}' was left alone: {why}")


def _shown(found: Found) -> str:
    return str(found) if found != Found() else "data that is no known file system"
