"""Which iSCSI sessions this machine has, as the kernel shows them.

One session is one way to a target, through one portal, and is a SCSI host of its own: so a LUN
that is reached through two portals is two disks.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from volplug.errors import HostError
from volplug.linux.sysfs import SYSFS, read

_DEVICE = re.compile(r"\d+:\d+:\d+:(\d+)")


@dataclass(frozen=True, slots=True)
class ScsiDisk:
    """What the kernel made of one LUN in one session; it may be older than the LUN it shows."""

    directory: Path

    @property
    def lun(self) -> int:
        """The LUN's number."""
        return int(self.directory.name.rpartition(":")[2])

    @property
    def name(self) -> str:
        """The kernel's name of the disk, such as `sda`; empty until it has one."""
        return next((block.name for block in self.directory.glob("block/*")), "")

    @property
    def serial(self) -> str:
        """What VPD page 0x80 told when it was last read: four bytes of head, then the serial."""
        try:
            page = (self.directory / "vpd_pg80").read_bytes()
        except OSError:
            return ""
        return page[4:].decode(errors="replace").strip(" \n\0")

    @property
    def works(self) -> bool:
        """Whether the kernel has not given it up."""
        return read(self.directory / "state") == "running"

    @property
    def exists(self) -> bool:
        """Whether it is there still."""
        return self.directory.is_dir()

    def rescan(self) -> None:
        """Have the kernel ask again how large it is and what serial it has."""
        _write(self.directory / "rescan", "1")

    def delete(self) -> None:
        """Have the kernel forget it. Gone is success."""
        if self.exists:
            _write(self.directory / "delete", "1")


@dataclass(frozen=True, slots=True)
class Session:
    """One session: its directory in sysfs, and the portal it was made through."""

    directory: Path
    portal: str
    state: str

    @property
    def works(self) -> bool:
        """Whether it is logged in, and not being made anew after a loss."""
        return self.state == "LOGGED_IN"

    def disks(self) -> list[ScsiDisk]:
        """List the LUNs that the kernel has seen here."""
        found = sorted(self.directory.glob("target*/*:*:*:*"))
        return [ScsiDisk(path) for path in found if _DEVICE.fullmatch(path.name)]

    def disk(self, lun: int) -> ScsiDisk | None:
        """Return what the kernel has seen under a LUN number, or None."""
        return next((disk for disk in self.disks() if disk.lun == lun), None)

    def scan(self, lun: int) -> None:
        """Have the kernel look for one LUN, and no other."""
        _write(self.directory.parent / f"scsi_host/{self.directory.parent.name}/scan", f"0 0 {lun}")


def sessions(iqn: str, portals: Collection[str], sysfs: Path = SYSFS) -> list[Session]:
    """List the sessions with a target that were made through these portals."""
    wanted = [plain(portal) for portal in portals]
    found = []
    for shown in sorted(sysfs.glob("class/iscsi_session/session*")):
        directory = (shown / "device").resolve()
        portal = _portal(directory)
        if read(shown / "targetname") == iqn and portal in wanted:
            found.append(Session(directory, portal, read(shown / "state")))
    return found


def plain(portal: str) -> str:
    """Return a portal in the kernel's spelling, IPv6 addresses without brackets."""
    address, _, port = portal.rpartition(":")
    return f"{address.strip('[]').lower()}:{port}"


def _portal(directory: Path) -> str:
    """Return a session's portal as it was asked for; a target may have sent us on from there."""
    for connection in directory.glob("connection*/iscsi_connection/*"):
        address = read(connection / "persistent_address").lower()
        return f"{address}:{read(connection / 'persistent_port')}"
    return ""


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except (FileNotFoundError, ProcessLookupError):
        return  # it vanished meanwhile, which its caller sees
    except OSError as error:
        raise HostError(f"{path} could not be written: {error.strerror}; try again") from error
