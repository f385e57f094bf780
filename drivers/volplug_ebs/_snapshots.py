"""Snapshots of volumes: known again by tags, for CreateSnapshot takes no client token.

So an order whose answer was lost, and that EC2 does not show yet, may be given twice. The older
snapshot is the one that somebody was told of, and the younger ones are taken away. What a snapshot
holds is settled when EC2 answers; that it is `completed`, so that volumes can be made from it, may
take hours, which nobody waits for but they.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from volplug.sdk import InvalidOptions, Snapshot, Unavailable, Volume
from volplug_ebs._disks import Disks
from volplug_ebs._ec2 import Ec2
from volplug_ebs._marks import CLUSTER, NAME, SNAPSHOT
from volplug_ebs._refusals import Refused

FATE = "they would stay at EC2 and be paid for, with nothing here to reach them by"
_NONE = "InvalidSnapshot.NotFound"


class Snapshots:
    """The snapshots that carry one cluster's tag."""

    def __init__(self, ec2: Ec2, disks: Disks, cluster: str) -> None:
        self._ec2 = ec2
        self._disks = disks
        self._cluster = cluster

    def make(self, volume: Volume[Any], name: str) -> None:
        """Begin a snapshot, and return when what it holds is settled; one of the name is taken."""
        answered: list[str] = []

        def step() -> bool:
            disk = self._disks.present(volume)
            if self._find(volume, name):
                return True
            if not answered:
                tags = _tags(self._marks(volume, name))
                answer = self._ec2.change(
                    "create_snapshot",
                    VolumeId=disk.id,
                    Description=f"{volume.name}@{name} of volplug",
                    TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
                )
                answered.append(answer["SnapshotId"])
            return False

        self._ec2.settle(f"a snapshot of {volume.handle} to be shown by EC2", step)
        self._delete(self._find(volume, name)[1:])

    def named(self, volume: Volume[Any]) -> list[Snapshot]:
        """List the snapshots of a volume, each once; EC2 has them even if the volume is gone."""
        found: dict[str, Snapshot] = {}
        for one in self._find(volume):
            name = _tag(one, SNAPSHOT)
            found.setdefault(name, Snapshot(name, one.get("StartTime")))
        return list(found.values())

    def usable(self, volume: Volume[Any], name: str) -> dict[str, Any]:
        """Return a snapshot once volumes can be made from it; InvalidOptions if there is none."""
        kept: list[dict[str, Any]] = []

        def step() -> bool:
            kept[:] = self._find(volume, name)[:1]
            if not kept:
                raise InvalidOptions(
                    f"volume {volume.name!r} has no snapshot {name!r} at EC2: `volplug snapshot ls"
                    f" {volume.name}` lists what there is"
                )
            if kept[0]["State"] == "error":
                raise Unavailable(
                    f"EC2 could not take snapshot {kept[0]['SnapshotId']}: delete it"
                    f" (`volplug snapshot rm {volume.name} {name}`), and take another one"
                )
            return bool(kept[0]["State"] == "completed")

        self._ec2.settle(f"snapshot {name!r} of {volume.handle} to be completed", step)
        return kept[0]

    def delete(self, volume: Volume[Any], name: str) -> None:
        """Delete a snapshot. Gone is success, and so is one that EC2 shows for a moment still."""
        self._delete(self._find(volume, name))

    def _delete(self, found: Iterable[dict[str, Any]]) -> None:
        for one in found:

            def step(snapshot: str = one["SnapshotId"]) -> bool:
                with suppress(Refused):
                    self._ec2.change("delete_snapshot", SnapshotId=snapshot, expect={_NONE})
                return True

            self._ec2.settle(f"snapshot {one['SnapshotId']} to be deleted", step)

    def _find(self, volume: Volume[Any], name: str = "") -> list[dict[str, Any]]:
        """Return what EC2 shows, the oldest first."""
        wanted = {f"tag:{key}": value for key, value in self._marks(volume, name).items()}
        wanted["volume-id"] = volume.handle
        filters = [{"Name": key, "Values": [value]} for key, value in wanted.items()]
        found = self._ec2.pages(
            "describe_snapshots", "Snapshots", Filters=filters, OwnerIds=["self"]
        )
        mine = [one for one in found if _tag(one, SNAPSHOT)]
        return sorted(mine, key=lambda one: (one["StartTime"], one["SnapshotId"]))

    def _marks(self, volume: Volume[Any], name: str) -> dict[str, str]:
        marks = {CLUSTER: self._cluster, NAME: volume.name}
        return {**marks, SNAPSHOT: name} if name else marks


def _tags(marks: dict[str, str]) -> list[dict[str, str]]:
    shown = {"Name": f"{marks[NAME]}@{marks[SNAPSHOT]}"[:255], **marks}
    return [{"Key": key, "Value": value} for key, value in shown.items()]


def _tag(found: dict[str, Any], key: str) -> str:
    return next((str(tag["Value"]) for tag in found.get("Tags", ()) if tag["Key"] == key), "")
