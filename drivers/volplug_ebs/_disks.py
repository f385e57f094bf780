"""Volumes of one cluster: found by their tags, made once, enlarged, deleted.

A client token makes a repeated CreateVolume harmless, but not for ever: a token whose volume was
deleted or failed stays used up, and an attempt whose volume is gone is passed over. Tags are looked
at first, for they also tell of a volume that the quota's edge hides from the retry
(backends-block 2).
"""

import re
import threading
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from volplug.sdk import AccessDenied, Exhausted, Unavailable, Volume, VolumeExists, VolumeNotFound
from volplug_ebs._disk import Disk
from volplug_ebs._ec2 import Ec2
from volplug_ebs._marks import ATTEMPT, CLUSTER, MADE_AS, NAME, tags, token
from volplug_ebs._order import Order
from volplug_ebs._refusals import NO_VOLUME, Refused, explain

_VISIBLE_S = 60.0
"""A volume younger than that may not be seen yet; an older one that is not seen is gone."""

_ID = re.compile(r"vol-[0-9a-f]{8,17}", re.ASCII)
_USED_UP = ("IdempotentParameterMismatch", "VolumeLimitExceeded", NO_VOLUME)


class Disks:
    """The volumes that carry one cluster's tag."""

    def __init__(self, ec2: Ec2, cluster: str) -> None:
        self._ec2 = ec2
        self._cluster = cluster
        self._guard = threading.Lock()
        self._next_attempt: dict[str, int] = {}

    def look(self, handle: str) -> Disk | None:
        """Return what EC2 says of a volume now; None if it has none of that id."""
        if not _ID.fullmatch(handle):
            return None
        try:
            answer = self._ec2.read("describe_volumes", VolumeIds=[handle], expect={NO_VOLUME})
        except Refused:
            return None
        return Disk.read(answer["Volumes"][0]) if answer["Volumes"] else None

    def mine(self, volume: Volume[Any]) -> Disk | None:
        """Return a volume if it is there; raise AccessDenied if its tags name another one."""
        disk = self.look(volume.handle)
        if disk is None or disk.doomed:
            return None
        wanted = {CLUSTER: self._cluster, NAME: volume.name}
        if any(disk.tags.get(key) != value for key, value in wanted.items()):
            raise AccessDenied(
                f"{disk.id} does not carry the tags of volume {volume.name!r} "
                f"({CLUSTER}={self._cluster}, {NAME}={volume.name}), so it is left alone: put them"
                " back if it is the right one"
            )
        return disk

    def present(self, volume: Volume[Any]) -> Disk:
        """Return a volume; raise VolumeNotFound if it is not there."""
        disk = self.mine(volume)
        if disk is None:
            raise VolumeNotFound(
                f"EC2 has no volume {volume.handle[:40]!r} for {volume.name!r} in this region: was "
                "it deleted there, or are these another account's keys?"
            )
        return disk

    def make(self, name: str, order: Order) -> str:
        """Return the id of the volume of that name once it can be used; make it if need be.

        Raises VolumeExists, showing both, for one that was made with other wishes.
        """
        made: list[str] = []
        young: set[str] = set()

        def step() -> bool:
            disk = self._find(name)
            if disk is None:
                self._place(name, order, young)
                return False
            if disk.tags.get(MADE_AS) != order.text:
                raise VolumeExists(
                    f"volume {name!r} is {disk.id} already, made as {disk.tags.get(MADE_AS)!r} and "
                    f"not as {order.text!r}: delete it, or take another name"
                )
            if disk.state == "error":
                raise self._failed(disk)
            made[:] = [disk.id]
            return disk.state in ("available", "in-use")

        self._ec2.settle(f"the new volume {name!r} at EC2", step)
        return made[0]

    def remember_deleted(self, name: str, disk: Disk) -> None:
        """Let the next volume of that name begin with a token that is not used up.

        Only this process knows; another one finds out by asking.
        """
        attempt = disk.tags.get(ATTEMPT, "")
        if attempt.isdecimal():
            with self._guard:
                self._next_attempt[name] = int(attempt) + 1

    def _find(self, name: str) -> Disk | None:
        wanted = {CLUSTER: self._cluster, NAME: name}
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()]
        found = [
            Disk.read(one)
            for one in self._ec2.pages("describe_volumes", "Volumes", Filters=filters)
        ]
        alive = [disk for disk in found if not disk.doomed]
        if len(alive) > 1:
            ids = " and ".join(sorted(disk.id for disk in alive))
            raise VolumeExists(
                f"{ids} both carry the tags of volume {name!r}: remove them from one"
            )
        return alive[0] if alive else None

    def _place(self, name: str, order: Order, young: set[str]) -> None:
        """Order a volume with this attempt's token, and pass on to the next if that is used up."""
        attempt = self._next_attempt.get(name, 0)
        try:
            answer = self._ec2.change(
                order.operation,
                expect=_USED_UP,
                ClientToken=token(self._cluster, name, order, attempt),
                TagSpecifications=[
                    {"ResourceType": "volume", "Tags": tags(self._cluster, name, order, attempt)}
                ],
                **order.parameters,
            )
        except Refused as refused:
            self._reconsider(name, order, attempt, refused)
            return
        made = answer["Volumes"][0] if "Volumes" in answer else answer
        disk = self.look(made["VolumeId"])
        if disk is None and _age_s(answer, made["CreateTime"]) < _VISIBLE_S:
            young.add(made["VolumeId"])
        elif disk is None and made["VolumeId"] in young:
            raise Unavailable(
                f"EC2 made {made['VolumeId']} and took it away again: a KMS key that may not be"
                " used is the usual reason; look at the key, then try again"
            )
        elif disk is None or disk.doomed:
            self._pass_over(name, attempt)

    def _reconsider(self, name: str, order: Order, attempt: int, refused: Refused) -> None:
        """Deal with a refusal that need not be one: an earlier call may have made the volume.

        At the quota's edge EC2 says so to the retry of a call that succeeded (backends-block 2).
        """
        if refused.code == NO_VOLUME and order.operation == "create_volume":
            self._pass_over(name, attempt)
        elif self._find(name) is None:
            if refused.code == "IdempotentParameterMismatch":
                raise Unavailable(
                    f"EC2 was asked for volume {name!r} before, in another zone or with another"
                    " key, and does not show it yet: try again in a minute"
                )
            error = explain(order.operation, refused.code, str(refused))
            raise Exhausted(str(error)) if refused.code == "VolumeLimitExceeded" else error

    def _pass_over(self, name: str, attempt: int) -> None:
        with self._guard:
            self._next_attempt[name] = max(self._next_attempt.get(name, 0), attempt + 1)

    def _failed(self, disk: Disk) -> Exception:
        """Remove a volume that EC2 could not make, and say so."""
        self._ec2.change("delete_volume", VolumeId=disk.id, expect={NO_VOLUME})
        return Unavailable(
            f"EC2 could not make {disk.id}, which is removed again: a KMS key that may not be used"
            " is the usual reason; look at the key, then try again"
        )


def _age_s(answer: dict[str, Any], made: datetime) -> float:
    """Return how old a volume is by EC2's own clock, which the answer carries."""
    now = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return (parsedate_to_datetime(now) - made).total_seconds() if now else 0.0
