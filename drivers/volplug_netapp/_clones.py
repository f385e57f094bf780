"""FlexClones, which share blocks with their origin, and deletion, where that matters.

A FlexVol with clones cannot be deleted: they are given blocks of their own first. A clone begins
with its origin's comment and export policy, for ONTAP takes neither when it clones; until its
comment is set right, its origin tells that it is ours. It is made from a snapshot of the origin
that is called after the clone, and goes with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from volplug.sdk import AccessDenied, Exhausted, VolumeInUse, wait_until
from volplug_netapp._answer import (
    BEING_MADE,
    HAS_CLONES,
    SNAPSHOT_EXISTS,
    SNAPSHOT_USED,
    Answer,
)
from volplug_netapp._client import Json, Ontap
from volplug_netapp._flexvols import VOLUMES, FlexVol, FlexVols
from volplug_netapp._settings import NetappConfig


class FlexClones:
    """The clones among the FlexVols of one owner."""

    def __init__(self, ontap: Ontap, config: NetappConfig, flexvols: FlexVols) -> None:
        self._ontap, self._flexvols = ontap, flexvols
        self._svm, self._owner = config.svm, config.owner

    def make(self, origin: FlexVol, volume: str, snapshot: str = "") -> FlexVol:
        """Make a FlexClone, which shares its origin's blocks; one that is there is taken.

        It holds what the origin holds now, unless a snapshot of it is named.
        """
        name = self._flexvols.name(volume)
        if self._flexvols.look(name) is None:
            self._begin(origin, name, snapshot)
        made = self._flexvols.online(lambda: self._flexvols.look(name), name)
        if made.comment == origin.comment:
            self._flexvols.change(made, {"comment": self._flexvols.comment(volume)})
        found = self._flexvols.find(volume)
        assert found is not None
        return found

    def begun(self, origin: FlexVol, volume: str) -> bool:
        """Say whether a clone of that name is there, however far an earlier call came."""
        found = self._flexvols.look(self._flexvols.name(volume))
        return found is not None and found.comment in self._comments(origin, volume)

    @contextmanager
    def all_or_nothing(self, origin: FlexVol, volume: str) -> Iterator[None]:
        """Take away what there is of a clone when the block finds that it can never be."""
        try:
            yield
        except (Exhausted, AccessDenied):  # with which it is not tried again
            found = self._flexvols.look(self._flexvols.name(volume))
            if found is not None and found.comment in self._comments(origin, volume):
                self._remove(found)
            self._forget_snapshots(self._flexvols.name(volume))
            raise

    def _begin(self, origin: FlexVol, name: str, snapshot: str) -> None:
        """Have ONTAP make a clone. One that it is making already is left to that."""
        kept, taken = {"name": snapshot or _snapshot(name)}, Answer(200)
        if not snapshot:
            taken = self._ontap.call("POST", f"{VOLUMES}/{origin.uuid}/snapshots", kept)
        parent = {"parent_volume": {"uuid": origin.uuid}, "parent_snapshot": kept}
        body = {
            "name": name,
            "svm": {"name": self._svm},
            "clone": {"is_flexclone": True, **parent},
        }
        answer = self._ontap.call("POST", VOLUMES, body)
        if answer.refused and answer.code not in BEING_MADE and self._flexvols.look(name) is None:
            if taken.code not in SNAPSHOT_EXISTS:
                taken.or_raise(f"take a snapshot of FlexVol {origin.name}")
            raise answer.error(f"clone FlexVol {origin.name}")

    def _comments(self, origin: FlexVol, volume: str) -> tuple[str, str]:
        """Return what a clone's comment is in the end, and what it is at first."""
        return self._flexvols.comment(volume), origin.comment

    def refuse_use(self, flexvol: FlexVol) -> None:
        """Raise VolumeInUse if somebody else's clone still shares blocks with a FlexVol."""
        for clone in self._clones(flexvol):
            if not self._ours(clone):
                raise VolumeInUse(
                    f"FlexVol {clone['name']}, which volplug did not make, is a clone of "
                    f"{flexvol.name}: split or delete it on the array first"
                )

    def delete(self, volume: str) -> None:
        """Delete a FlexVol, after giving its clones blocks of their own. Gone is success."""
        found = self._flexvols.find(volume)
        if found is not None:
            self._remove(found)
        self._forget_snapshots(self._flexvols.name(volume))

    def _remove(self, flexvol: FlexVol) -> None:
        wait_until(lambda: self._gone(flexvol), f"FlexVol {flexvol.name} to go", poll_s=0.5)

    def _gone(self, flexvol: FlexVol) -> bool:
        answer = self._ontap.call("DELETE", f"{VOLUMES}/{flexvol.uuid}")
        if answer.code in HAS_CLONES:
            self.refuse_use(flexvol)
            self.split(flexvol)
            return False
        if not answer.missing:
            answer.or_raise(f"delete FlexVol {flexvol.name}")
        return self._flexvols.look(flexvol.name) is None

    def split(self, flexvol: FlexVol) -> None:
        """Begin to give our clones of a FlexVol blocks of their own."""
        for clone in filter(self._ours, self._clones(flexvol)):
            split = {"clone": {"split_initiated": True}}
            self._ontap.call("PATCH", f"{VOLUMES}/{clone['uuid']}", split)

    def _forget_snapshots(self, clone: str) -> None:
        """Delete what a clone was made from, wherever its origin is; one in use stays there.

        One that stayed unseen would be what the next clone of that name is made from.
        """
        query = {"name": _snapshot(clone), "svm.name": self._svm, "fields": "volume.uuid"}
        for found in self._ontap.records(f"{VOLUMES}/*/snapshots", **query):
            place = f"{VOLUMES}/{found['volume']['uuid']}/snapshots/{found['uuid']}"
            answer = self._ontap.call("DELETE", place)
            if not answer.missing and answer.code not in SNAPSHOT_USED:
                answer.or_raise(f"delete snapshot {_snapshot(clone)}")

    def _clones(self, flexvol: FlexVol) -> list[Json]:
        query = {"clone.parent_volume.uuid": flexvol.uuid, "fields": "name,uuid,comment"}
        return self._ontap.records(VOLUMES, **query)

    def _ours(self, record: Json) -> bool:
        return str(record.get("comment", "")).startswith(f"volplug {self._owner} ")


def _snapshot(clone: str) -> str:
    return f"for_{clone}"
