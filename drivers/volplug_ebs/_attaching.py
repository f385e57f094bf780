"""Attach, detach and the fence, as loops that look at the attachment and order what is missing.

An answer to a question may be of a moment ago, and then an attachment that was only just made does
not show. An answer to an order is of now: so a detach, and a fence all the more, believes that a
node has no disk only when EC2 also refuses to detach it there.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from volplug.sdk import HeldElsewhere, Unavailable, Volume, VolumeInUse
from volplug_ebs._disk import Disk, Hold
from volplug_ebs._disks import Disks
from volplug_ebs._ec2 import Ec2
from volplug_ebs._instances import Instances
from volplug_ebs._refusals import NO_VOLUME, Refused, explain

_STUCK = timedelta(seconds=90)
"""An attachment that is not done by then never will be."""

_NOT_ATTACHED = ("IncorrectState", "InvalidAttachment.NotFound", "InvalidInstanceID.NotFound")


class Attaching:
    """Attachments of the cluster's volumes."""

    def __init__(self, ec2: Ec2, disks: Disks, instances: Instances) -> None:
        self._ec2 = ec2
        self._disks = disks
        self._instances = instances

    def attach(self, volume: Volume[Any], node_id: str) -> Disk:
        """Return the volume once it is attached to the node, and to no other."""
        found: list[Disk] = []

        def step() -> bool:
            disk = self._disks.present(volume)
            found[:] = [disk]
            for hold in disk.holds:
                if hold.instance != node_id and hold.state != "detaching":
                    raise _held(volume, disk, hold)
            own = disk.held_by(node_id)
            if own and own.state == "attaching":
                self._give_up_if_stuck(disk, own)
            elif not disk.holds and disk.state == "available":
                self._order(disk, node_id)
            return own is not None and own.state == "attached" and len(disk.holds) == 1

        self._ec2.settle(f"{volume.handle} to be attached to {node_id}", step)
        return found[0]

    def detach(self, volume: Volume[Any], node_id: str, *, by_force: bool = False) -> None:
        """Return once EC2 lists the volume at the node no more and has nothing to detach there.

        Raises VolumeInUse if the node keeps it busy and is not forced to let go.
        """
        forced = False

        def step() -> bool:
            nonlocal forced
            disk = self._disks.mine(volume)
            if disk is None:
                return True
            hold = disk.held_by(node_id)
            if hold and hold.state == "busy" and not by_force:
                raise VolumeInUse(
                    f"{disk.id} is busy at {node_id}: something there still uses it; unmount it, or"
                    " fence the node"
                )
            if hold and hold.state in ("detaching", "busy") and forced is by_force:
                return False
            gone = self.nothing_to_detach(disk, node_id, by_force=by_force)
            forced = by_force
            return gone and hold is None

        self._ec2.settle(f"{volume.handle} to be detached from {node_id}", step)

    def nothing_to_detach(self, disk: Disk, node_id: str, *, by_force: bool = False) -> bool:
        """Order the detachment; return whether EC2 says that there is none, naming this pair."""
        try:
            self._ec2.change(
                "detach_volume",
                VolumeId=disk.id,
                InstanceId=node_id,
                Force=by_force,
                expect={*_NOT_ATTACHED, NO_VOLUME},
            )
        except Refused as refused:
            # One code for every wrong state, `detaching` too: only the message tells which it is.
            return refused.code != "IncorrectState" or "'available'" in str(refused)
        return False

    def _order(self, disk: Disk, node_id: str) -> None:
        instance = self._instances.ready(node_id)
        with self._instances.device_name(instance, disk.id) as device:
            try:
                self._ec2.change(
                    "attach_volume",
                    VolumeId=disk.id,
                    InstanceId=node_id,
                    Device=device,
                    expect={"VolumeInUse", "IncorrectState", "InvalidParameterValue"},
                )
            except Refused as refused:
                # In use, or in another state than a moment ago: the next look tells who has it.
                if refused.code != "InvalidParameterValue":
                    return
                # One code for many things: only the message says that it is the name.
                if device not in str(refused) or "in use" not in str(refused):
                    raise explain("attach_volume", refused.code, str(refused)) from refused
                self._instances.note_taken(node_id, device)

    def _give_up_if_stuck(self, disk: Disk, hold: Hold) -> None:
        """Undo an attachment that is stuck, so that the next attempt starts clean."""
        if hold.since is None or datetime.now(UTC) - hold.since < _STUCK:
            return
        with suppress(Refused):
            self._ec2.change(
                "detach_volume", VolumeId=disk.id, InstanceId=hold.instance, expect=_NOT_ATTACHED
            )
        raise Unavailable(
            f"{disk.id} stayed 'attaching' at {hold.instance} as {hold.device} for more than "
            f"{_STUCK.seconds} s and is taken back: the instance has too many disks, or the name is"
            " used inside; try again"
        )


def _held(volume: Volume[Any], disk: Disk, hold: Hold) -> HeldElsewhere:
    since = f" since {hold.since:%Y-%m-%d %H:%M:%S} UTC" if hold.since else ""
    return HeldElsewhere(
        f"{disk.id} of volume {volume.name!r} is {hold.state} at {hold.instance}{since}: stop its"
        " containers there; if that node is dead, fence it"
    )
