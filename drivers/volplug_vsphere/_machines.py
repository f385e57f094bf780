"""Virtual machines: which one a node is, what disks it has, and how it is made to stop.

vCenter shows the last known state of a machine whose host does not answer, "poweredOn" or not; so
nothing that a machine shows is proof of anything unless it is connected.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from volplug.sdk import Exhausted, HostError, Unavailable, wait_until
from volplug_vsphere import _reading
from volplug_vsphere._disks import Disk
from volplug_vsphere._node import spelt
from volplug_vsphere._vim import vim

_FIELDS = (
    "name", "config.uuid", "config.hardware.device", "runtime.powerState",
    "runtime.connectionState", "recentTask",
)  # fmt: skip
# An earlier call, of this process or one that died, may still be at work on the machine.
_OURS = (".attachDisk", ".detachDisk", ".reconfigure", ".reconfigVm", ".powerOff")
_CONTROLLERS = 4
_UNITS = 15  # of 16, for the controller itself is number 7


@dataclass(frozen=True)
class Machine:
    """A virtual machine as vCenter shows it now."""

    reference: Any
    name: str
    uuid: str
    devices: list[Any]
    power: str
    connected: bool
    tasks: list[Any]

    def __str__(self) -> str:
        return f"{self.name!r} ({self.uuid}, {self.power})"

    def disk(self, disk: Disk) -> Any | None:
        """Return the machine's own entry of a disk, or None if it does not list it.

        Somebody may have added the file by hand, as a plain disk that has no id.
        """
        for device in self.devices:
            if isinstance(device, vim.vm.device.VirtualDisk):
                by_id = device.vDiskId is not None and device.vDiskId.id == disk.id.id
                if by_id or getattr(device.backing, "fileName", None) == disk.path:
                    return device
        return None


class Machines:
    """All machines that a vCenter shows us."""

    def __init__(self, content: Any, server: str) -> None:
        self._content = content
        self._server = server

    def find(self, uuid: str) -> Machine | None:
        """Return the machine of a BIOS UUID, or None; Unavailable if copies share the UUID."""
        found = self._content.searchIndex.FindAllByUuid(None, uuid, True, False)
        machines = self._read(found or [])
        if len(machines) > 1:
            names = ", ".join(sorted(machine.name for machine in machines))
            raise Unavailable(
                f"{len(machines)} machines of {self._server} have the BIOS UUID {uuid} ({names}): "
                "give the copies a new one (uuid.bios), with the machine off"
            )
        return machines[0] if machines else None

    def get(self, uuid: str) -> Machine:
        """Return the machine of a BIOS UUID, once no earlier work on it is running."""
        machine = self.find(uuid)
        if machine is None:
            raise Unavailable(
                f"{self._server} shows no machine with the BIOS UUID {uuid}: it was removed from "
                "the inventory, is in another vCenter, or our user may not see it"
            )
        return self.settled(machine)

    def settled(self, machine: Machine) -> Machine:
        """Wait for what an earlier call began on a machine, and look at it afresh.

        Afresh also where nothing runs any more: it may have ended since the machine was read.
        """
        if not machine.tasks:
            return machine
        wait_until(
            lambda: not _reading.running(self._content, machine.tasks, _OURS),
            f"an earlier task on machine {machine.name!r}",
            poll_s=_reading.POLL_S,
        )
        return self.again(machine)

    def again(self, machine: Machine) -> Machine:
        """Look at a machine afresh."""
        return self._read([machine.reference])[0]

    def holders(self, disk: Disk) -> list[Machine]:
        """List the machines that have a disk in their configuration, running or not."""
        found = _reading.properties(self._content, [disk.datastore], vim.Datastore, "vm")
        near = [machine for _, read in found for machine in read.get("vm", [])]
        return [machine for machine in self._read(near) if machine.disk(disk)]

    def shows_disk_uuids(self, machine: Machine) -> bool:
        """Whether the guest can see which disk is which."""
        read = _reading.properties(
            self._content, [machine.reference], vim.VirtualMachine,
            "config.extraConfig", "config.flags.diskUuidEnabled",
        )  # fmt: skip
        return any(
            fields.get("config.flags.diskUuidEnabled")
            or any(
                option.key.lower() == "disk.enableuuid" and str(option.value).upper() == "TRUE"
                for option in fields.get("config.extraConfig", [])
            )
            for _, fields in read
        )

    def attach(self, machine: Machine, disk: Disk) -> None:
        """Give a machine a disk, on a controller with room, made if need be."""
        key = _free_controller(machine)
        if key is None:
            self._add_controller(machine)
            key = _free_controller(self.again(machine))
        if key is None:
            raise HostError(f"machine {machine.name!r} has no SCSI controller with room")
        # vCenter itself chooses the unit, so that two attaches at once cannot choose the same.
        task = machine.reference.AttachDisk_Task(disk.id, disk.datastore, key, None)
        _reading.finish(self._content, task, f"a disk at machine {machine.name!r}")

    def detach(self, machine: Machine, disk: Disk) -> None:
        """Take a disk from a machine, and see that it is gone. Already gone is success."""
        with suppress(vim.fault.NotFound):
            task = machine.reference.DetachDisk_Task(disk.id)
            _reading.finish(self._content, task, f"machine {machine.name!r} to let go of a disk")
        if self.again(machine).disk(disk):
            raise Unavailable(
                f"{self._server} says that {disk.id.id} was detached, but machine "
                f"{machine.name!r} still lists it; a retry tries again"
            )

    def power_off(self, machine: Machine) -> Machine:
        """Cut a machine's power, and return it as it is then. Already off is success."""
        with suppress(vim.fault.InvalidPowerState):
            task = machine.reference.PowerOffVM_Task()
            _reading.finish(self._content, task, f"machine {machine.name!r} to be powered off")
        return self.again(machine)

    def _add_controller(self, machine: Machine) -> None:
        scsi = [d for d in machine.devices if isinstance(d, vim.vm.device.VirtualSCSIController)]
        free = set(range(_CONTROLLERS)) - {controller.busNumber for controller in scsi}
        if len(scsi) >= _CONTROLLERS or not free:
            raise Exhausted(
                f"machine {machine.name!r} has no place for another disk: its {len(scsi)} SCSI "
                f"controllers take {_UNITS} each, and only paravirtual ones are used; "
                "detach volumes or use another node"
            )
        made = vim.vm.device.ParaVirtualSCSIController(
            key=-1, busNumber=min(free), sharedBus="noSharing"
        )
        change = vim.vm.device.VirtualDeviceSpec(operation="add", device=made)
        task = machine.reference.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change]))
        _reading.finish(self._content, task, f"a SCSI controller of machine {machine.name!r}")

    def _read(self, references: list[Any]) -> list[Machine]:
        rows = _reading.properties(self._content, references, vim.VirtualMachine, *_FIELDS)
        return [
            Machine(
                reference,
                fields.get("name", ""),
                spelt(fields.get("config.uuid", "")),
                list(fields.get("config.hardware.device", [])),
                str(fields.get("runtime.powerState", "unknown")),
                fields.get("runtime.connectionState") == "connected",
                list(fields.get("recentTask", [])),
            )
            for reference, fields in rows
        ]


def _free_controller(machine: Machine) -> int | None:
    for controller in machine.devices:
        if isinstance(controller, vim.vm.device.ParaVirtualSCSIController):
            taken = {d.unitNumber for d in machine.devices if d.controllerKey == controller.key}
            if len(taken - {7}) < _UNITS:
                return int(controller.key)
    return None


def on_scsi(machine: Machine, entry: Any) -> bool:
    """Whether a disk of a machine is on a SCSI controller, where its UUID becomes its WWN."""
    return any(
        device.key == entry.controllerKey
        and isinstance(device, vim.vm.device.VirtualSCSIController)
        for device in machine.devices
    )
