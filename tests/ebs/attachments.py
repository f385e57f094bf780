"""Which instance has which volume: refused, begun, ended and shown as EC2 does it."""

import time
from datetime import UTC, datetime
from typing import Any

from moto.ec2.models.block_device import BlockDeviceType

from tests.ebs.disk import Disk, Hold, Knobs, refuse
from tests.ebs.hypervisor import Hypervisor

_FOREVER_S = 1e9


class Attachments:
    """The rules; the attachments themselves stand in the volumes."""

    def __init__(self, knobs: Knobs, hypervisor: Hypervisor) -> None:
        self._knobs = knobs
        self._hypervisor = hypervisor

    def begin(self, disk: Disk, instance: Any, device: str, state: str) -> None:
        """Attach a volume that is in a state, or refuse."""
        self._check(disk, instance, device, state)
        if instance._state.name == "running":
            self._hypervisor.plug(instance.id, disk.id, disk.size)
        disk.holds[instance.id] = Hold(device, instance, time.monotonic())
        instance.block_device_mapping[device] = BlockDeviceType(
            volume_id=disk.id, status="attached", size=disk.size, attach_time=datetime.now(UTC)
        )

    def end(self, disk: Disk, instance_id: str, *, by_force: bool) -> None:
        """Begin to detach a volume from an instance, or refuse."""
        holds = self.live(disk)
        if not holds:
            refuse("IncorrectState", f"Volume '{disk.id}' is in the 'available' state.")
        if instance_id not in holds:
            refuse("InvalidAttachment.NotFound", f"{disk.id} is not attached to {instance_id}")
        hold = holds[instance_id]
        if hold.gone_s is not None and not by_force:
            refuse("IncorrectState", f"Volume '{disk.id}' is in the 'detaching' state.")
        running = hold.instance._state.name == "running"
        hold.busy = self._knobs.stuck and running and not by_force
        hold.gone_s = time.monotonic() + (_FOREVER_S if hold.busy else self._knobs.detach_s)
        if by_force:
            self._hypervisor.cut(instance_id, disk.id)
        elif not hold.busy:
            self._hypervisor.ask_out(instance_id, disk.id)

    def drop(self, disk: Disk, instance_id: str) -> None:
        """Forget an attachment. None is success."""
        if hold := disk.holds.pop(instance_id, None):
            hold.instance.block_device_mapping.pop(hold.device, None)

    def live(self, disk: Disk) -> dict[str, Hold]:
        """Return the attachments that are not over; those that are, end now."""
        for instance_id, hold in list(disk.holds.items()):
            if hold.gone_s is None:
                continue
            stopped = hold.instance._state.name == "stopped"
            late = time.monotonic() >= hold.gone_s
            if stopped or (late and not self._hypervisor.has(instance_id, disk.id)):
                self.drop(disk, instance_id)
        return disk.holds

    def shown(self, disk: Disk, instance_id: str) -> dict[str, Any]:
        """Show one attachment of a volume as it is now."""
        hold = disk.holds[instance_id]
        done = time.monotonic() - hold.begun_s >= self._knobs.attach_s
        state = "attached" if done else "attaching"
        if hold.gone_s is not None:
            state = "busy" if hold.busy else "detaching"
        return {
            "VolumeId": disk.id,
            "InstanceId": instance_id,
            "Device": hold.device,
            "State": state,
            "AttachTime": hold.begun,
        }

    def _check(self, disk: Disk, instance: Any, device: str, state: str) -> None:
        if disk.zone != instance._placement.zone:
            refuse("InvalidVolume.ZoneMismatch", f"'{disk.id}' is not in the instance's zone.")
        if instance._state.name not in ("running", "stopped", "pending"):
            refuse("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
        if self.live(disk):
            refuse("VolumeInUse", f"{disk.id} is already attached to an instance")
        if state != "available":
            refuse("IncorrectState", f"Volume '{disk.id}' is not 'available'.")
        if device in instance.block_device_mapping or device == self._knobs.hidden_device:
            words = f"Attachment point {device} is already in use"
            refuse("InvalidParameterValue", f"Invalid value '{device}' for unixDevice. {words}")
        if len(instance.block_device_mapping) >= self._knobs.limit:
            refuse("AttachmentLimitExceeded", "The instance has too many volumes.")
