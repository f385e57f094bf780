"""What an operator sets once and what a user says per volume."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from volplug.sdk import InvalidOptions, Secret, Size, option

DISK_TYPES = {"thin": "thin", "thick": "preallocated", "eager-zeroed": "eagerZeroedThick"}

# What mkfs and the kernel need at least, and what a VMDK holds at most (vSphere maximums).
_LEAST = {"ext4": Size.parse("16M"), "xfs": Size.parse("300M"), "btrfs": Size.parse("128M")}
_MOST = Size.parse("62T")


@dataclass(frozen=True)
class VsphereConfig:
    """Which vCenter, as whom, and where on it the disks are kept."""

    server: str = option(help="host name of the vCenter, with :port unless it is 443")
    user: str = option(help="who volplug logs in as")
    password: Secret = option(help="that user's password")
    datacenter: str = option(help="inventory path of the datacenter, such as DC0 or Europe/DC0")
    datastore: str = option(help="datastore for new disks; every node's host must reach it")
    folder: str = option(
        help="folder on the datastore, one for each volplug cluster",
        default="volplug",
        check=lambda folder: folder.strip("/.") == folder != "" and "/" not in folder,
        want="the name of one folder",
    )
    ca_file: Path | None = option(
        help="certificates to trust instead of the system's, in PEM format", default=None
    )
    vm_uuid: str | None = option(
        help="BIOS UUID of this machine, if its DMI table does not tell", default=None
    )
    default_size: Size = option(help="size of a volume without size=", default=Size.parse("10G"))


@dataclass(frozen=True)
class VsphereOptions:
    """What a user says of one volume."""

    size: Size | None = option(help="size of the volume, rounded up to whole MiB", default=None)
    fstype: Literal["ext4", "xfs", "btrfs"] = option(help="file system", default="ext4")
    disk: Literal["thin", "thick", "eager-zeroed"] = option(
        help="whether the datastore gives the space when it is written, at once, or zeroed at once",
        default="thin",
    )


def checked_size(size: Size, fstype: str = "") -> Size:
    """Return the size if vSphere and the file system can have it; InvalidOptions otherwise."""
    least = _LEAST.get(fstype, Size(0))
    if size < least:
        raise InvalidOptions(f"size={size} is too small: {fstype} needs {least}")
    if size > _MOST:
        raise InvalidOptions(f"size={size} is too large: a disk of vSphere has {_MOST} at most")
    return size
