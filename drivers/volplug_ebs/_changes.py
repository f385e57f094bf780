"""Deleting and enlarging: changes that are looked at before they are ordered, and afterwards.

EC2 admits four changes of a volume in 24 hours and counts a resent one again, so a change whose
answer was lost is looked for, and never sent twice.
"""

from contextlib import suppress
from typing import Any

from volplug.sdk import Busy, InvalidOptions, Size, Unavailable, Volume, VolumeInUse
from volplug_ebs._disk import GIB, Disk
from volplug_ebs._disks import Disks
from volplug_ebs._ec2 import Ec2
from volplug_ebs._order import whole_gib
from volplug_ebs._refusals import NO_VOLUME, Refused

_NONE = ("InvalidVolumeModification.NotFound", NO_VOLUME)
_RUNNING = "IncorrectModificationState"


def delete(ec2: Ec2, disks: Disks, volume: Volume[Any]) -> None:
    """Delete a volume. Gone, or going, is success; attached is VolumeInUse."""

    def step() -> bool:
        disk = disks.mine(volume)
        if disk is None:
            return True
        for hold in disk.holds:
            raise VolumeInUse(
                f"{disk.id} of volume {volume.name!r} is {hold.state} at {hold.instance}: "
                "stop its containers there, or fence the node"
            )
        disks.remember_deleted(volume.name, disk)
        try:
            ec2.change("delete_volume", VolumeId=disk.id, expect={NO_VOLUME, "IncorrectState"})
        except Refused as refused:
            return refused.code == NO_VOLUME
        return False

    ec2.settle(f"{volume.handle} to be deleted", step)


def expand(ec2: Ec2, disks: Disks, volume: Volume[Any], size: Size) -> None:
    """Enlarge a volume, attached or not; return when the new size can be used."""
    wanted_gib = whole_gib(size)
    disks.present(volume)

    def step() -> bool:
        # The change is asked for first: one that ends in between must show in the volume then, or
        # it would be ordered twice.
        change = _change(ec2, volume.handle)
        disk = disks.present(volume)
        if disk.size_gib * GIB >= size + GIB:
            raise InvalidOptions(
                f"volume {volume.name!r} has {disk.size_gib} GiB and cannot shrink to {size}: make"
                " a smaller one and copy the files"
            )
        if change.get("ModificationState") == "modifying":
            return False
        if disk.size_gib >= wanted_gib:
            return True
        return _order(ec2, disk, wanted_gib, change)

    ec2.settle(f"{volume.handle} to have {wanted_gib} GiB", step)


def _order(ec2: Ec2, disk: Disk, wanted_gib: int, change: dict[str, Any]) -> bool:
    """Order a larger size, unless that was done before. Never a success by itself."""
    state = change.get("ModificationState")
    if state in ("optimizing", "completed") and change.get("TargetSize", 0) >= wanted_gib:
        return False  # done, and the volume's own record lags behind
    if state == "optimizing":
        raise Busy(
            f"EC2 still works on an earlier change of {disk.id} ({change.get('Progress', 0)} %), "
            "which can take hours: try again later"
        )
    if state == "failed" and change.get("TargetSize") == wanted_gib:
        raise Unavailable(
            f"EC2 could not make {disk.id} {wanted_gib} GiB large: "
            f"{change.get('StatusMessage', 'no reason given')}; try again later"
        )
    with suppress(Refused):  # a change is running that was not seen yet
        ec2.change("modify_volume", VolumeId=disk.id, Size=wanted_gib, expect={_RUNNING})
    return False


def _change(ec2: Ec2, handle: str) -> dict[str, Any]:
    """Return the latest change of a volume; nothing if it was never changed."""
    try:
        answer = ec2.read("describe_volumes_modifications", VolumeIds=[handle], expect=_NONE)
    except Refused:
        return {}
    changes: list[dict[str, Any]] = answer["VolumesModifications"]
    return max(changes, key=lambda change: change["StartTime"], default={})
