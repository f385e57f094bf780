"""Snapshots that users named, among those that ONTAP, its schedules and our clones make.

A name is unique in its FlexVol, so a repeated snapshot meets its own earlier work; a prefix tells
ours from the others. One that a FlexClone was made from cannot be deleted: the clone gets blocks
of its own first, which takes as long as its data is large.
"""

from datetime import datetime

from volplug.sdk import InvalidOptions, Snapshot, Volume, VolumeNotFound, wait_until
from volplug_netapp._answer import SNAPSHOT_USED
from volplug_netapp._client import Json, Ontap
from volplug_netapp._clones import FlexClones
from volplug_netapp._flexvols import VOLUMES, FlexVol, FlexVols

_PREFIX = "volplug."
FATE = "they would go with its FlexVol"


class FlexSnapshots:
    """The snapshots of one owner's FlexVols."""

    def __init__(self, ontap: Ontap, flexvols: FlexVols, clones: FlexClones) -> None:
        self._ontap, self._flexvols, self._clones = ontap, flexvols, clones

    def make(self, volume: Volume[object], name: str) -> None:
        """Take a snapshot; one that has the name is left as it is."""
        flexvol = self._flexvols.get(volume)
        if self._find(flexvol, name) is None:
            body = {"name": _PREFIX + name}
            answer = self._ontap.call("POST", f"{VOLUMES}/{flexvol.uuid}/snapshots", body)
            if answer.refused and self._find(flexvol, name) is None:
                raise answer.error(f"take a snapshot of FlexVol {flexvol.name}")

    def named(self, volume: Volume[object]) -> list[Snapshot]:
        """Return what users named; a volume that is gone has none."""
        self._flexvols.check(volume)
        flexvol = self._flexvols.find(volume.name)
        found = self._all(flexvol) if flexvol else []
        return [
            Snapshot(one["name"].removeprefix(_PREFIX), _moment(one))
            for one in found
            if one["name"].startswith(_PREFIX)
        ]

    def source(self, volume: Volume[object], name: str, clone: str) -> tuple[FlexVol, str]:
        """Return what a clone is made from; raise InvalidOptions without that snapshot.

        A clone that was begun needs it no more, and would be left behind for ever.
        """
        flexvol = self._flexvols.get(volume)
        if self._find(flexvol, name) is None and not self._clones.begun(flexvol, clone):
            raise InvalidOptions(
                f"volume {volume.name!r} has no snapshot {name!r} on the array: "
                f"`volplug snapshot ls {volume.name}` lists what there is"
            )
        return flexvol, _PREFIX + name

    def delete(self, volume: Volume[object], name: str) -> None:
        """Delete a snapshot, after giving its clones blocks of their own. Gone is success."""
        self._flexvols.check(volume)
        flexvol = self._flexvols.find(volume.name)
        if flexvol is not None:
            awaited = f"snapshot {name} of FlexVol {flexvol.name} to go"
            wait_until(lambda: self._gone(flexvol, name), awaited, poll_s=0.5)

    def _gone(self, flexvol: FlexVol, name: str) -> bool:
        found = self._find(flexvol, name)
        if found is None:
            return True
        place = f"{VOLUMES}/{flexvol.uuid}/snapshots/{found['uuid']}"
        answer = self._ontap.call("DELETE", place)
        if answer.code in SNAPSHOT_USED:
            self._clones.refuse_use(flexvol)
            self._clones.split(flexvol)
            return False
        if not answer.missing:
            answer.or_raise(f"delete snapshot {name} of FlexVol {flexvol.name}")
        return self._find(flexvol, name) is None

    def _find(self, flexvol: FlexVol, name: str) -> Json | None:
        return next((one for one in self._all(flexvol) if one["name"] == _PREFIX + name), None)

    def _all(self, flexvol: FlexVol) -> list[Json]:
        query = {"fields": "name,uuid,create_time"}
        try:
            return self._ontap.records(f"{VOLUMES}/{flexvol.uuid}/snapshots", **query)
        except VolumeNotFound:
            return []  # deleted since we looked


def _moment(found: Json) -> datetime | None:
    text = found.get("create_time")
    return datetime.fromisoformat(text) if text else None
