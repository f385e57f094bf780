"""EC2's volumes with the strictness of the real ones, over moto's instances, in a process.

moto alone accepts a second attachment and lets the first node keep a ghost, ignores client tokens,
detaches from the wrong instance, never shows a state in between, and shrinks. A driver tested
against it would pass while it loses data. So volumes are kept here, and moto keeps the rest.

Kept of EC2: a client token gives the same volume, is refused with other parameters, and stays used
up when its volume is deleted; `creating`, `attaching`, `detaching`, `busy`, `deleting`,
`modifying`, `optimizing`; VolumeInUse, IncorrectState with its words, ZoneMismatch,
device names and limits; detaching names the exact pair; a new volume or attachment can stay
invisible for a while; four changes in 24 hours, one at a time, never smaller; a volume under a
forbidden key vanishes; answers in pages; a terminated instance loses its disks, a stopped one
keeps them; IMDSv2 wants its token.

Kept of snapshots: no token, so a repeated order makes a second one; `pending`, during which no
volume can be made from one; invisible for a while; they outlive their volume; a volume out of one
is not smaller, and as secret; one in 15 seconds of a volume, if told so.

Not kept: when EC2 really goes `busy`, and how long its states last; multi-attach, IAM;
what a replayed token answers for a deleted volume is a guess (the first answer again), as is a
second DetachVolume while `detaching` (IncorrectState). It was never compared with AWS.

With a hypervisor under it disks come and go in guests: a detachment is over when the guest has let
go, one by force at once, and a stopped or terminated instance has no power. An instance's guest
cannot be started again, a copied volume is empty, and a disk shows a new size only when attached
again, unless its guest has an NVMe target (tests/lab/nvme_target.py).
"""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from tests.ebs.attachments import Attachments
from tests.ebs.disk import Disk, Knobs, Shot, refuse
from tests.ebs.hypervisor import Hypervisor
from tests.ebs.wishes import MOST_GIB, check_wishes, wishes_of

_NUMBERS = itertools.count(0xA1)


class StrictEbs:
    """The actions on volumes; `response` is moto's, which knows the request."""

    def __init__(self, hypervisor: Hypervisor | None = None) -> None:
        self.guard = threading.RLock()
        self.knobs = Knobs()
        self.hypervisor = hypervisor or Hypervisor()
        self.attachments = Attachments(self.knobs, self.hypervisor)
        self.disks: dict[str, Disk] = {}
        self.tokens: dict[str, tuple[str, str]] = {}
        self.shots: dict[str, Shot] = {}

    # -- making and deleting

    def create_volume(self, response: Any) -> ActionResult:
        """Make a volume, or answer with the one that this token made."""
        wishes = wishes_of(response, "Size", "AvailabilityZone")
        zone, size = wishes.pop("AvailabilityZone"), wishes["Size"]
        if response.ec2_backend.get_zone_by_name(zone) is None:
            refuse("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        with self.guard:
            self._check_shot(wishes)
            return ActionResult(self._shown(self._made(response, wishes, zone, size)))

    def copy_volumes(self, response: Any) -> ActionResult:
        """Make a volume with another one's data, in its zone."""
        wishes = wishes_of(response, "SourceVolumeId")
        with self.guard:
            source = self._get(wishes["SourceVolumeId"])
            size = wishes.get("Size") or source.size
            if size < source.size:
                refuse("InvalidParameterValue", "The size must not be smaller than the source's.")
            copy = self._made(response, wishes, source.zone, size)
            return ActionResult({"Volumes": [self._shown(copy)]})

    def delete_volume(self, response: Any) -> EmptyResult:
        """Begin to delete a volume that nobody has."""
        with self.guard:
            disk = self._get(response._get_param("VolumeId"))
            if self.attachments.live(disk):
                refuse("VolumeInUse", f"Volume {disk.id} is currently attached")
            if self._state(disk) == "creating":
                refuse("IncorrectState", f"Volume '{disk.id}' is in the 'creating' state.")
            if disk.deleted_s is None:
                disk.deleted_s = time.monotonic() + self.knobs.delete_s
                self.hypervisor.delete(disk.id)
            return EmptyResult()

    # -- snapshots

    def create_snapshot(self, response: Any) -> ActionResult:
        """Take one more snapshot, whatever there is already."""
        with self.guard:
            disk = self._get(response._get_param("VolumeId"))
            if len([one for one in self.shots.values() if one.volume == disk.id]) >= (
                self.knobs.snapshots
            ):
                refuse("SnapshotCreationPerVolumeRateExceeded", "Only 1 snapshot in 15 seconds.")
            tags = response._parse_tag_specification().get("snapshot", {})
            number, secret = f"snap-{next(_NUMBERS):017x}", disk.parameters["Encrypted"]
            shot = Shot(
                number, disk.id, disk.size, secret, tags, time.monotonic(), datetime.now(UTC)
            )
            self.shots[shot.id] = shot
            return ActionResult(self._shot_shown(shot))

    def describe_snapshots(self, response: Any) -> ActionResult:
        """Show snapshots as of a moment ago, one a page."""
        with self.guard:
            filters = response._filters_from_querystring()
            volumes = filters.pop("volume-id")
            found = [
                one
                for one in self.shots.values()
                if one.volume in volumes
                and time.monotonic() - one.begun_s >= self.knobs.lag_s
                and _tagged(one.tags, filters)
            ]
            page = int(response._get_param("NextToken") or 0)
            more = {"NextToken": str(page + 1)} if page + 1 < len(found) else {}
            shown = [self._shot_shown(one) for one in found[page : page + 1]]
            return ActionResult({"Snapshots": shown, **more})

    def delete_snapshot(self, response: Any) -> EmptyResult:
        """Delete a snapshot; nothing hangs on it."""
        with self.guard:
            number = response._get_param("SnapshotId")
            if self.shots.pop(number, None) is None:
                refuse("InvalidSnapshot.NotFound", f"The snapshot '{number}' does not exist.")
            return EmptyResult()

    def _check_shot(self, wishes: dict[str, Any]) -> None:
        """Refuse a volume that cannot be made out of the snapshot that it names."""
        if "SnapshotId" not in wishes:
            return
        shot = self.shots.get(wishes["SnapshotId"])
        if shot is None:
            refuse("InvalidSnapshot.NotFound", "The snapshot does not exist.")
        if time.monotonic() - shot.begun_s < self.knobs.snapshot_s:
            refuse("IncorrectState", f"Snapshot '{shot.id}' is not 'completed'.")
        if wishes["Size"] < shot.size or shot.encrypted > wishes["Encrypted"]:
            refuse("InvalidParameterValue", "The volume is smaller or less secret than that.")

    def _shot_shown(self, shot: Shot) -> dict[str, Any]:
        done = time.monotonic() - shot.begun_s >= self.knobs.snapshot_s
        return {
            "SnapshotId": shot.id,
            "VolumeId": shot.volume,
            "State": "completed" if done else "pending",
            "StartTime": shot.begun,
            "VolumeSize": shot.size,
            "Encrypted": shot.encrypted,
            "Tags": [{"Key": key, "Value": value} for key, value in shot.tags.items()],
        }

    # -- attachments

    def attach_volume(self, response: Any) -> ActionResult:
        """Begin to attach."""
        device = response._get_param("Device")
        with self.guard:
            disk = self._get(response._get_param("VolumeId"))
            instance = response.ec2_backend.get_instance(response._get_param("InstanceId"))
            self.attachments.begin(disk, instance, device, self._state(disk))
            return ActionResult(self.attachments.shown(disk, instance.id))

    def detach_volume(self, response: Any) -> ActionResult:
        """Begin to detach exactly this pair."""
        force = response._get_bool_param("Force", False)
        instance_id = response._get_param("InstanceId")
        with self.guard:
            disk = self._get(response._get_param("VolumeId"))
            response.ec2_backend.get_instance(instance_id)
            self.attachments.end(disk, instance_id, by_force=force)
            return ActionResult(self.attachments.shown(disk, instance_id))

    # -- changes

    def modify_volume(self, response: Any) -> ActionResult:
        """Begin to enlarge."""
        size = response._get_int_param("Size")
        with self.guard:
            disk = self._get(response._get_param("VolumeId"))
            if size > MOST_GIB[disk.parameters["VolumeType"]] or size < disk.size:
                refuse("InvalidParameterValue", f"A volume of {disk.size} GiB cannot have {size}.")
            if disk.changes and self._change_state(disk.changes[-1]) != "completed":
                refuse("IncorrectModificationState", f"{disk.id} is being modified.")
            if len(disk.changes) >= self.knobs.changes:
                refuse("VolumeModificationRateExceeded", "Wait until 24 hours have passed.")
            change = {"OriginalSize": disk.size, "TargetSize": size, "VolumeId": disk.id}
            self.hypervisor.grow(disk.id, size)
            disk.changes.append(change | {"at_s": time.monotonic(), "StartTime": datetime.now(UTC)})
            return ActionResult({"VolumeModification": self._change_shown(disk.changes[-1])})

    def describe_volumes_modifications(self, response: Any) -> ActionResult:
        """Tell the latest change of one volume."""
        with self.guard:
            disk = self._get(response._get_param("VolumeIds")[0])
            if not disk.changes:
                refuse("InvalidVolumeModification.NotFound", f"{disk.id} was never modified.")
            return ActionResult({"VolumesModifications": [self._change_shown(disk.changes[-1])]})

    # -- questions

    def describe_volumes(self, response: Any) -> ActionResult:
        """Show volumes as of a moment ago, one per page where no id is given."""
        with self.guard:
            if ids := response._get_param("VolumeIds", []):
                seen = [self._get(one, visible=True) for one in ids]
                return ActionResult({"Volumes": [self._shown(disk) for disk in seen]})
            filters = response._filters_from_querystring()
            found = [disk for disk in self.present() if self._visible(disk) and _has(disk, filters)]
            page = int(response._get_param("NextToken") or 0)
            more = {"NextToken": str(page + 1)} if page + 1 < len(found) else {}
            shown = [self._shown(disk) for disk in found[page : page + 1]]
            return ActionResult({"Volumes": shown, **more})

    def present(self) -> Iterator[Disk]:
        """Give every volume that is not gone."""
        with self.guard:
            return iter([disk for disk in self.disks.values() if not self._gone(disk)])

    def powered_off(self, instance_id: str, *, for_good: bool) -> None:
        """Take an instance's power, and every disk from one that is no more."""
        with self.guard:
            self.hypervisor.off(instance_id)
            for disk in self.disks.values() if for_good else ():
                self.attachments.drop(disk, instance_id)

    # -- within

    def _made(self, response: Any, wishes: dict[str, Any], zone: str, size: int) -> Disk:
        token = response._get_param("ClientToken") or f"none-{next(_NUMBERS)}"
        spelled = json.dumps([wishes, zone, size], sort_keys=True)
        if token in self.tokens:
            before, disk_id = self.tokens[token]
            if before != spelled:
                refuse("IdempotentParameterMismatch", "The token was used with other parameters.")
            return self.disks[disk_id]
        if len(list(self.present())) >= self.knobs.quota:
            refuse("VolumeLimitExceeded", "Maximum number of volumes exceeded.")
        check_wishes(wishes, size)
        tags = response._parse_tag_specification().get("volume", {})
        now_s = time.monotonic()
        disk = Disk(
            f"vol-{next(_NUMBERS):017x}", zone, size, wishes, tags, now_s, datetime.now(UTC)
        )
        if wishes.get("KmsKeyId") == "alias/forbidden":
            disk.deleted_s = now_s + self.knobs.create_s
        self.disks[disk.id] = disk
        self.tokens[token] = (spelled, disk.id)
        return disk

    def _get(self, disk_id: str, *, visible: bool = False) -> Disk:
        disk = self.disks.get(disk_id)
        if disk is None or self._gone(disk) or (visible and not self._visible(disk)):
            refuse("InvalidVolume.NotFound", f"The volume '{disk_id}' does not exist.")
        return disk

    def _gone(self, disk: Disk) -> bool:
        return disk.deleted_s is not None and time.monotonic() >= disk.deleted_s

    def _visible(self, disk: Disk) -> bool:
        return time.monotonic() - disk.begun_s >= self.knobs.lag_s

    def _state(self, disk: Disk) -> str:
        if time.monotonic() - disk.begun_s < self.knobs.create_s:
            return "creating"
        if disk.deleted_s is not None:
            return "deleting"
        return "in-use" if self.attachments.live(disk) else "available"

    def _shown(self, disk: Disk) -> dict[str, Any]:
        for change in disk.changes:
            known = time.monotonic() - change["at_s"] >= self.knobs.modify_s + self.knobs.lag_s
            if known:
                disk.size = max(disk.size, change["TargetSize"])
        holds = {
            instance_id: hold
            for instance_id, hold in self.attachments.live(disk).items()
            if time.monotonic() - hold.begun_s >= self.knobs.lag_s
        }
        state = self._state(disk)
        return {
            "VolumeId": disk.id,
            "State": "available" if state == "in-use" and not holds else state,
            "Size": disk.size,
            "AvailabilityZone": disk.zone,
            "CreateTime": disk.begun,
            "Encrypted": disk.parameters["Encrypted"],
            "VolumeType": disk.parameters["VolumeType"],
            "Tags": [{"Key": key, "Value": value} for key, value in disk.tags.items()],
            "Attachments": [self.attachments.shown(disk, one) for one in holds],
        }

    def _change_state(self, change: dict[str, Any]) -> str:
        age_s = time.monotonic() - change["at_s"]
        if age_s < self.knobs.modify_s:
            return "modifying"
        over = age_s >= self.knobs.modify_s + self.knobs.optimize_s
        return "completed" if over else "optimizing"

    def _change_shown(self, change: dict[str, Any]) -> dict[str, Any]:
        shown = {key: value for key, value in change.items() if key != "at_s"}
        return shown | {"ModificationState": self._change_state(change), "Progress": 50}


def _has(disk: Disk, filters: dict[str, list[str]]) -> bool:
    return _tagged(disk.tags, filters)


def _tagged(tags: dict[str, str], filters: dict[str, list[str]]) -> bool:
    return all(tags.get(key.removeprefix("tag:")) in values for key, values in filters.items())
