"""Disks that come and go while a guest runs, as a cloud's or an array's do.

The image file is locked by the QEMU that has it, so that a disk can be in one guest only: QEMU
plays the part of the storage that attaches exclusively (backends-block 10.2). A disk can also be
fenced: every read and write fails from then on, whether the guest is awake or not, and the image is
free for another.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.box import poll
from tests.lab.qmp import Qmp, QmpError

_SLOTS = 6
_UNPLUG_S = 60.0
# A name whose device_add failed may stay taken for a while, so none is used twice.
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk in a guest; `node` is QEMU's name of it, `slot` the place that an NVMe disk takes."""

    node: str
    image: Path
    slot: str | None


class Disks:
    """The places for disks in one guest: six for NVMe controllers, and a SCSI bus."""

    def __init__(self, qmp: Qmp) -> None:
        self._qmp = qmp
        self._free = [f"slot{number}" for number in range(_SLOTS)]
        self._asked: set[str] = set()
        self._fenced: set[str] = set()

    @staticmethod
    def places() -> list[str]:
        """Return QEMU's words for the empty places."""
        ports = [
            f"pcie-root-port,id=slot{number},chassis={number + 1},addr=0x10.{number:#x}"
            + (",multifunction=on" if number == 0 else "")
            for number in range(_SLOTS)
        ]
        return [word for port in [*ports, "pvscsi,id=scsi"] for word in ("-device", port)]

    def plug_nvme(self, image: Path, serial: str) -> Disk:
        """Plug an image in as an NVMe disk with that serial number, as EBS does.

        Raises QmpError if another guest has the image.
        """
        slot, node = self._free[0], f"disk{next(_NUMBERS)}"
        self._plug(node, image, driver="nvme", bus=slot, serial=serial)
        self._free.remove(slot)
        return Disk(node, image, slot)

    def plug_scsi(self, image: Path, serial: str, wwn: int) -> Disk:
        """Plug an image in as a SCSI disk with that serial number and name, as vSphere does.

        Raises QmpError if another guest has the image.
        """
        node = f"disk{next(_NUMBERS)}"
        self._plug(node, image, driver="scsi-hd", bus="scsi.0", serial=serial, wwn=wwn)
        return Disk(node, image, None)

    def unplug(self, disk: Disk) -> None:
        """Take a disk out; return when the guest has let go of it."""
        self.ask_out(disk)
        poll(lambda: not self.is_in(disk), f"the guest to let go of {disk.node}", _UNPLUG_S)

    def ask_out(self, disk: Disk) -> None:
        """Ask the guest to let go of a disk, once; one that stands still answers when it wakes."""
        if disk.node not in self._asked:
            self._asked.add(disk.node)
            self._qmp.call("device_del", id=f"device-{disk.node}")

    def is_in(self, disk: Disk) -> bool:
        """Whether the guest, or QEMU, still has the disk; if not, its image and place are free."""
        there = self._qmp.call("qom-list", path="/machine/peripheral")
        if any(one["name"] == f"device-{disk.node}" for one in there):
            return True
        if disk.node in self._asked:
            try:
                self._close(disk)
            except QmpError:  # the device is finished a moment after it is out
                return True
            self._asked.remove(disk.node)
            if disk.slot is not None:
                self._free.append(disk.slot)
        return False

    def resize(self, disk: Disk, size_bytes: int) -> None:
        """Make a disk larger while the guest has it; SCSI only, for QEMU's NVMe disks cannot."""
        self._qmp.call("block_resize", node_name=disk.node, size=size_bytes)

    def fence(self, disk: Disk) -> None:
        """Make every further access of the guest fail, and free the image for another guest."""
        broken = f"{disk.node}-broken"
        nothing = {"driver": "null-co", "size": disk.image.stat().st_size}
        rule = {"event": "none", "errno": 5, "once": False, "immediately": True}
        self._qmp.call(
            "blockdev-add", driver="blkdebug", node_name=broken, image=nothing, inject_error=[rule]
        )
        self._qmp.call(
            "blockdev-reopen", options=[{"driver": "raw", "node-name": disk.node, "file": broken}]
        )
        self._qmp.call("blockdev-del", node_name=f"{disk.node}-file")
        self._fenced.add(disk.node)

    def _plug(self, node: str, image: Path, **device: object) -> None:
        self._qmp.call("blockdev-add", driver="file", node_name=f"{node}-file", filename=str(image))
        self._qmp.call("blockdev-add", driver="raw", node_name=node, file=f"{node}-file")
        try:
            self._qmp.call("device_add", id=f"device-{node}", drive=node, **device)
        except QmpError:
            self._close(Disk(node, image, None))
            raise

    def _close(self, disk: Disk) -> None:
        below = "broken" if disk.node in self._fenced else "file"
        for node in (disk.node, f"{disk.node}-{below}"):
            self._qmp.call("blockdev-del", node_name=node)
