"""Instances: their states, the room they have, and the names that disks get there.

The name of a device is EC2's bookkeeping only (on Nitro the guest sees NVMe serials), yet a name
that is taken makes an attach fail, and one that the image uses itself is taken without showing. And
a disk too many does not fail: it stays `attaching` for ever (backends-block 2), so the room is
counted first.
"""

import hashlib
import itertools
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from volplug.sdk import Exhausted, Unavailable
from volplug_ebs._ec2 import Ec2
from volplug_ebs._refusals import Refused

_NAMES = tuple(
    f"/dev/xvd{first}{second}"
    for first, second in itertools.product("bcd", string.ascii_lowercase)
    if first + second <= "dx"
)
_NO_INSTANCE = "InvalidInstanceID.NotFound"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance: `pending`, `running`, `stopping`, `stopped`, `shutting-down`, `terminated`."""

    id: str
    state: str
    type: str
    devices: frozenset[str]
    interfaces: int


class Instances:
    """The instances of the region."""

    def __init__(self, ec2: Ec2) -> None:
        self._ec2 = ec2
        self._guard = threading.Lock()
        self._in_flight: set[tuple[str, str]] = set()
        self._taken: set[tuple[str, str]] = set()
        self._limits: dict[str, tuple[int, bool]] = {}

    def look(self, instance_id: str) -> Instance | None:
        """Return what EC2 says of an instance; None if it knows none of that id."""
        try:
            answer = self._ec2.read(
                "describe_instances", InstanceIds=[instance_id], expect={_NO_INSTANCE}
            )
        except Refused:
            return None
        for one in (each for group in answer["Reservations"] for each in group["Instances"]):
            return Instance(
                one["InstanceId"],
                one["State"]["Name"],
                one["InstanceType"],
                frozenset(device["DeviceName"] for device in one.get("BlockDeviceMappings", ())),
                len(one.get("NetworkInterfaces", ())),
            )
        return None

    def ready(self, instance_id: str) -> Instance:
        """Return an instance that can be given a disk; raise Unavailable or Exhausted otherwise."""
        instance = self.look(instance_id)
        if instance is None or instance.state not in ("pending", "running", "stopped"):
            state = instance.state if instance else "not there"
            raise Unavailable(
                f"instance {instance_id} is {state}, so no disk can be attached to it: start it, or"
                " use another node"
            )
        limit, shared = self._limit(instance.type)
        limit -= max(0, instance.interfaces - 1) if shared else 0
        if limit > 0 and len(instance.devices) >= limit:
            raise Exhausted(
                f"instance {instance_id} has {len(instance.devices)} disks, and an {instance.type} "
                f"with {instance.interfaces} network interface(s) takes {limit}: stop containers "
                "there, or use a larger instance"
            )
        return instance

    @contextmanager
    def device_name(self, instance: Instance, disk_id: str) -> Iterator[str]:
        """Give the block a name for a disk that nothing else there has.

        EC2 does not yet show the names of attachments that are only just ordered.
        """
        with self._guard:
            name = self._choose(instance, disk_id)
            self._in_flight.add((instance.id, name))
        try:
            yield name
        finally:
            with self._guard:
                self._in_flight.discard((instance.id, name))

    def note_taken(self, instance_id: str, name: str) -> None:
        """Use a name last from now on: the image has it, though EC2 does not show that."""
        with self._guard:
            self._taken.add((instance_id, name))

    def _choose(self, instance: Instance, disk_id: str) -> str:
        # Begin at another place for each disk, so that a name is not used again soon.
        start = int(hashlib.sha256(disk_id.encode()).hexdigest(), 16) % len(_NAMES)
        names = [
            name
            for name in _NAMES[start:] + _NAMES[:start]
            if name not in instance.devices and (instance.id, name) not in self._in_flight
        ]
        names.sort(key=lambda name: (instance.id, name) in self._taken)
        if not names:
            raise Exhausted(f"instance {instance.id} has no device name left: detach disks there")
        return names[0]

    def _limit(self, kind: str) -> tuple[int, bool]:
        """Return how many disks a type takes (0 if EC2 does not say), and whether NICs count."""
        if kind not in self._limits:
            answer = self._ec2.read("describe_instance_types", InstanceTypes=[kind])
            ebs = answer["InstanceTypes"][0].get("EbsInfo", {}) if answer["InstanceTypes"] else {}
            shared = ebs.get("AttachmentLimitType", "shared") == "shared"
            self._limits[kind] = (ebs.get("MaximumEbsAttachments", 0), shared)
        return self._limits[kind]
