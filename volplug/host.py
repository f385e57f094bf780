"""The seam to the machine: the only place where something is mounted, formatted or checked.

The kernel's own list of mounts is the truth; records are hints. What a node needs to clean up is
stored on the node before a device is touched, so that `unstage` works with the backend down.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from volplug.options import Size
from volplug.source import Source
from volplug.volume import Owner


class Formatted(StrEnum):
    """How far a volume's file system has come; it only ever moves forward."""

    BLANK = "blank"  # never touched: a device may be formatted, once
    CLONED = "cloned"  # holds a copy of another volume's file system, under its identity still
    STARTED = "started"  # mkfs may have run, with the UUID that stands beside this
    READY = "ready"  # holds data: mkfs is forbidden for ever


@dataclass(frozen=True, slots=True)
class Filesystem:
    """What is known of the bytes on a volume: the fact that allows or forbids mkfs.

    It is stored with the volume's record, for another node may stage the volume next. `uuid` is
    chosen before mkfs runs, so that after a crash our own half-finished work can be told from
    somebody's data. Trees have no `fstype` and no `uuid`.
    """

    formatted: Formatted = Formatted.BLANK
    fstype: str = ""
    uuid: str = ""


@dataclass(slots=True)
class Freeze:
    """Whether a file system was held still, and the reason if it was not; true after the block."""

    held: bool = False
    trouble: str = "this machine cannot hold its file system still"


Remember: TypeAlias = Callable[[Filesystem], None]
"""Stores a Filesystem durably before it returns."""


class Host(ABC):
    """This machine. Volumes are known by their names, which `volume.check_name` has passed."""

    @abstractmethod
    def stage(
        self,
        name: str,
        source: Source,
        *,
        filesystem: Filesystem,
        remember: Remember,
        owner: Owner,
        read_only: bool,
    ) -> None:
        """Make the volume a directory of this machine, once for all its users.

        Already staged from the same source is success, staged from another one is a HostError.
        A blank device is formatted after `remember` stored that it will be; anything else found on
        it is refused with a HostError and left alone. The owner is applied on the way to READY.
        """

    @abstractmethod
    def unstage(self, name: str) -> None:
        """Undo stage from this machine's own record, backend up or down. Not staged is success.

        Raises VolumeInUse, and changes nothing, while `users` is not zero.
        """

    def discard(self, name: str) -> None:
        """Undo stage without letting anything that was written and not yet sent get out.

        Also while somebody here uses the volume: then it raises VolumeInUse, as `unstage` does, but
        what they write goes nowhere any more. A host that cannot do so unstages.
        """
        self.unstage(name)

    @abstractmethod
    def path(self, name: str) -> Path | None:
        """Return the directory to hand to users, only while the right source is mounted there.

        Never touches the mounted file system, which may hang.
        """

    @abstractmethod
    def staged(self) -> set[str]:
        """Return the names of the volumes this machine has a record of, mounted still or not."""

    @abstractmethod
    def users(self, name: str) -> int:
        """Count the mount namespaces other than the machine's own that have the volume mounted."""

    def health(self, name: str) -> str:
        """Return what is wrong with a staged volume's mount, for people; empty if nothing is known.

        Never waits for what is mounted: it tells what was heard last, and may ask anew in the
        background. A host that cannot tell knows of nothing wrong.
        """
        del name
        return ""

    @contextmanager
    def frozen(self, name: str) -> Iterator[Freeze]:
        """Hold a staged disk's file system still in the block, for some seconds at most.

        What was written before is on the disk then, and writers wait. It ends by itself, even if
        this process dies. A volume that cannot be held still is told by the Freeze, not raised. A
        host that cannot do it at all leaves this as it is.
        """
        del name
        yield Freeze()

    @abstractmethod
    def grow(self, name: str, size: Size) -> None:
        """Grow a staged volume's file system to its device, which the driver has made `size` large.

        A tree needs nothing. Repeating is success.
        """
