"""What volplug knows of volumes, durably: a volume that was answered for never vanishes.

Written before each effect and after it, so that whatever a crash leaves half done is found here and
finished by the keeper.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from volplug.host import Filesystem
from volplug.volume import AccessMode, Owner


class RecordState(StrEnum):
    """How far the storage of a volume has come."""

    CREATING = "creating"  # the driver was, or is about to be, asked; not yet a volume to users
    READY = "ready"
    DELETING = "deleting"  # the driver was, or is about to be, asked to delete it; no way back


@dataclass(frozen=True, slots=True)
class Record:
    """One volume: what was asked, and what has become of it.

    `options` are the driver's own, as the user wrote them. `origin` names the volume it is a clone
    of, or VOLUME@SNAPSHOT, or is empty. `handle` is empty until the driver has answered.
    """

    name: str
    backend: str
    access: AccessMode
    options: Mapping[str, str]
    created_at: datetime
    owner: Owner = field(default_factory=Owner)
    origin: str = ""
    state: RecordState = RecordState.CREATING
    handle: str = ""
    filesystem: Filesystem = field(default_factory=Filesystem)


class Catalog(ABC):
    """All records. Every write is durable when it returns; every read answers in milliseconds."""

    @abstractmethod
    def add(self, record: Record) -> bool:
        """Store a new record; return False, and change nothing, if the name is taken."""

    @abstractmethod
    def replace(self, record: Record) -> None:
        """Overwrite the record of that name; raise VolumeNotFound if there is none."""

    @abstractmethod
    def get(self, name: str) -> Record | None:
        """Return the record of that name."""

    @abstractmethod
    def records(self) -> list[Record]:
        """Return all records, sorted by name."""

    @abstractmethod
    def claim(self, name: str) -> None:
        """Make this node the one that works on a volume until its record is READY or forgotten.

        To be asked before a driver is, for one that another node may have left half done. Raises
        Busy, naming it, while another node that is alive works on it. Changes no record, and is
        success for one that is READY, forgotten, or this node's already.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget a record. Already forgotten is success."""
