"""FlexVols: the ONTAP volumes that hold a LUN, or are exported, one for each of ours.

ONTAP has no client token, but a FlexVol's name is unique in its SVM: it is derived from the owner
and the volume's name, so that a repeated create meets its own earlier work. That it is ours stands
in its comment; anything else of that name is left alone.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from volplug.sdk import (
    InvalidOptions,
    Size,
    Unavailable,
    Volume,
    VolumeExists,
    VolumeNotFound,
    wait_until,
)
from volplug_netapp._answer import BEING_MADE, Answer
from volplug_netapp._client import Json, Ontap
from volplug_netapp._settings import MOST, NetappConfig

VOLUMES = "/storage/volumes"
_FIELDS = "name,uuid,state,size,comment,nas.path,nas.export_policy.name,clone.parent_volume.uuid"


@dataclass(frozen=True, slots=True)
class FlexVol:
    """What ONTAP tells of one."""

    name: str
    uuid: str
    online: bool
    size_bytes: int
    comment: str
    path: str
    policy: str
    parent: str


class FlexVols:
    """The FlexVols of one owner in one SVM."""

    def __init__(self, ontap: Ontap, config: NetappConfig) -> None:
        self._ontap, self._config = ontap, config

    def name(self, volume: str) -> str:
        """Return what a volume's FlexVol is called: readable, and unlike any other volume's."""
        digest = hashlib.sha256(f"{self._config.owner}/{volume}".encode()).hexdigest()[:16]
        readable = re.sub(r"[^A-Za-z0-9_]", "_", volume[:40])
        return f"{self._config.owner}_{readable}_{digest}"

    def check(self, volume: Volume[Any]) -> str:
        """Return the FlexVol's name if the handle is that; raise Unavailable otherwise."""
        name = self.name(volume.name)
        if volume.handle != name:
            raise Unavailable(
                f"volume {volume.name!r} is not one of owner '{self._config.owner}' at "
                f"{self._config.host}: was the backend's owner changed?"
            )
        return name

    def find(self, volume: str) -> FlexVol | None:
        """Return a volume's FlexVol, or None; raise VolumeExists if it is somebody else's."""
        found = self.look(self.name(volume))
        if found is not None and found.comment != self.comment(volume):
            raise VolumeExists(
                f"FlexVol {found.name} in SVM {self._config.svm} is not volplug's volume "
                f"{volume!r}, as its comment tells: rename or delete it on the array"
            )
        return found

    def get(self, volume: Volume[Any]) -> FlexVol:
        """Return a volume's FlexVol; raise VolumeNotFound if it has none any more."""
        self.check(volume)
        found = self.find(volume.name)
        if found is None:
            raise VolumeNotFound(f"the FlexVol of volume {volume.name!r} is gone from the array")
        return found

    def make(self, volume: str, size: int, more: Json) -> FlexVol:
        """Make a FlexVol and wait until it is online; one that is there already is taken.

        Raises Exhausted if no aggregate has room for it.
        """
        for aggregate in self._config.aggregates:
            body = {
                "name": self.name(volume),
                "svm": {"name": self._config.svm},
                "aggregates": [{"name": aggregate}],
                "size": size,
                "comment": self.comment(volume),
                "guarantee": {"type": "none"},
                "snapshot_policy": {"name": "none"},
                "space": {"snapshot": {"reserve_percent": 0}},
                **more,
            }
            answer = self._begun(volume, body)
            if answer is None or not answer.refused:
                return self.online(lambda: self.find(volume), self.name(volume))
            refusal = answer.error(f"make FlexVol {self.name(volume)} on {aggregate}")
        raise refusal

    def change(self, flexvol: FlexVol, body: Json) -> None:
        """Change properties of a FlexVol; repeating is success."""
        answer = self._ontap.call("PATCH", f"{VOLUMES}/{flexvol.uuid}", body)
        answer.or_raise(f"change FlexVol {flexvol.name}")

    def _begun(self, volume: str, body: Json) -> Answer | None:
        """Ask for a FlexVol unless it is there; the refusal of one that is there is none."""
        if self.find(volume) is not None:
            return None
        answer = self._ontap.call("POST", VOLUMES, body)
        being_made = answer.code in BEING_MADE
        return None if answer.refused and (being_made or self.find(volume)) else answer

    def online(self, look: Callable[[], FlexVol | None], name: str) -> FlexVol:
        """Return what `look` finds once it is online; raise DeadlineExceeded if it never is."""
        found: list[FlexVol] = []

        def online() -> bool:
            seen = look()
            found[:] = [seen] if seen is not None and seen.online else []
            return bool(found)

        wait_until(online, f"FlexVol {name} to be online", poll_s=0.25)
        return found[0]

    def look(self, name: str) -> FlexVol | None:
        """Return the FlexVol of that name, whoever it belongs to."""
        query = {"name": name, "svm.name": self._config.svm, "fields": _FIELDS}
        found = self._ontap.first(VOLUMES, **query)
        if found is None:
            return None
        nas = found.get("nas", {})
        return FlexVol(
            name=found["name"],
            uuid=found["uuid"],
            online=found.get("state") == "online",
            size_bytes=found.get("size", 0),
            comment=found.get("comment", ""),
            path=nas.get("path", ""),
            policy=nas.get("export_policy", {}).get("name", ""),
            parent=found.get("clone", {}).get("parent_volume", {}).get("uuid", ""),
        )

    def comment(self, volume: str) -> str:
        """Return what stands on a volume's FlexVol, to tell that it is ours."""
        return f"volplug {self._config.owner} {volume}"


def larger(volume: Volume[Any], present: int, size: int) -> bool:
    """Say whether there is anything to grow; raise InvalidOptions rather than shrink."""
    if size < present:
        raise InvalidOptions(
            f"volume {volume.name!r} is {Size(present)} large and cannot shrink to {Size(size)}: "
            "make a smaller one and copy the files"
        )
    if size > MOST:
        raise InvalidOptions(f"{Size(size)} is too large: a FlexVol holds {MOST}")
    return size > present
