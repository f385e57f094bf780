"""Giving a disk to a machine, naming it there, and taking it away from one that may be dead.

A machine that is powered off keeps its disks in its configuration and does not block others; but
then it cannot start again, or starts first and blocks them. So a disk that any other machine lists,
running or not, counts as held.
"""

from volplug.sdk import HeldElsewhere, HostError, ScsiWwid, Unavailable
from volplug_vsphere import _faults
from volplug_vsphere._disks import Disk
from volplug_vsphere._machines import Machine, Machines, on_scsi


def give(machines: Machines, machine: Machine, disk: Disk, name: str) -> Machine:
    """Attach a disk to a machine, and return that as it is then. Already attached is success.

    Raises HeldElsewhere, with the holder, if another machine lists the disk.
    """
    if machine.disk(disk) is not None:
        return machine
    for holder in machines.holders(disk):
        if holder.uuid == machine.uuid:
            return holder  # since we looked
        _refuse(holder, name)
    if not machines.shows_disk_uuids(machine):
        raise HostError(
            f"machine {machine.name!r} hides from its guest which disk is which: "
            "power it off and set disk.EnableUUID to TRUE in its configuration"
        )
    try:
        machines.attach(machine, disk)
    except _faults.IN_USE as error:
        machine = machines.again(machine)
        if machine.disk(disk) is not None:
            return machine  # by somebody who was faster
        for holder in machines.holders(disk):
            _refuse(holder, name)
        raise HeldElsewhere(
            f"vSphere could not lock the disk of {name!r} for machine {machine.name!r}, and "
            "shows no other that has it: look for one on another vCenter or host"
        ) from error
    return machines.again(machine)


def identity(machine: Machine, disk: Disk) -> ScsiWwid:
    """Name the disk as the guest's kernel does: by the UUID in its file."""
    entry = machine.disk(disk)
    uuid = getattr(entry.backing, "uuid", None) if entry is not None else None
    if entry is None or not uuid:
        raise Unavailable(
            f"vCenter does not show the disk {disk.id.id} at machine {machine.name!r} yet; "
            "a retry looks again"
        )
    if not on_scsi(machine, entry):
        raise HostError(
            f"the disk {disk.id.id} is on a controller of machine {machine.name!r} that is not "
            "SCSI, where the guest knows it by another name: detach it, and volplug attaches it"
        )
    return ScsiWwid("naa." + uuid.replace("-", "").lower())


def cut_off(machines: Machines, machine: Machine, disk: Disk) -> str:
    """Return, with the proof, once a machine cannot write to a disk; Unavailable without proof.

    The machine loses its power if it has the disk, and then the disk, so that it stays cut off
    when somebody, or vSphere HA, starts it again.
    """
    _check_connected(machine)
    if machine.disk(disk) is None:
        return f"vCenter: machine {machine} does not have the disk {disk.id.id}"
    machine = machines.power_off(machine)
    _check_connected(machine)
    if machine.power != "poweredOff":
        raise Unavailable(f"machine {machine} did not stay off, and may still write")
    machines.detach(machine, disk)
    return f"vCenter: machine {machine} was powered off, and then the disk {disk.id.id} detached"


def _refuse(holder: Machine, name: str) -> None:
    raise HeldElsewhere(
        f"machine {holder} has the disk of {name!r}: detach it there, or fence that node"
    )


def _check_connected(machine: Machine) -> None:
    if not machine.connected:
        raise Unavailable(
            f"the host of machine {machine.name!r} does not answer to vCenter, so nobody knows "
            "whether it runs: wait for vSphere HA, or confirm yourself that the host is off"
        )
