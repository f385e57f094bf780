"""Where a volume's disk is: the path that its name decides, and the id that vCenter chose.

vCenter has no client tokens, and two first class disks may bear one name. The path of the file is
the only key that it will not take twice, so it is derived from the volume's name. The id stands in
the handle beside it, so that a repeated delete of an old volume never meets a newer one of the same
name; and the datastore too, so that "gone" is only believed where the disk was made.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from volplug.sdk import Unavailable, Volume

_HANDLE = re.compile(r"([0-9a-fA-F-]{36}) \[([^\[\]\n]+)\] ([^/\n]+)/([^/\n]+)\.vmdk")


@dataclass(frozen=True, slots=True)
class Place:
    """The file of a disk, without knowing yet whether it is there."""

    datastore: str
    folder: str
    stem: str

    @classmethod
    def of(cls, datastore: str, folder: str, name: str) -> "Place":
        """Return the place of a name: the same in every process."""
        return cls(datastore, folder, _stem(name))

    @property
    def path(self) -> str:
        """The file as vSphere writes it."""
        return f"[{self.datastore}] {self.folder}/{self.stem}.vmdk"

    @property
    def within(self) -> str:
        """The file as vSphere writes it where the datastore is named beside it."""
        return f"{self.folder}/{self.stem}.vmdk"

    @property
    def partial(self) -> str:
        """The file that a copy is made in, before it gets its name."""
        return f"[{self.datastore}] {self.folder}/{self.stem}.partial.vmdk"

    def handle(self, disk_id: str) -> str:
        """Return the handle of the disk with that id at this place."""
        return f"{disk_id} {self.path}"


def read(volume: Volume[Any]) -> tuple[str, Place]:
    """Return the disk's id and place if the handle is one that the volume's name can have."""
    found = _HANDLE.fullmatch(volume.handle)
    if found is None or found[4] != _stem(volume.name):
        raise Unavailable(
            f"volume {volume.name!r} has a handle that this driver never gave: "
            "its record is damaged, or another driver's"
        )
    return found[1], Place(found[2], found[3], found[4])


def _stem(name: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", name[:40]).lstrip("_-")
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
