"""Which disk is which, as the kernel tells it in /sys.

Never by a /dev name or a link in /dev/disk: udev lags behind, and the kernel gives the names of
gone disks to new ones, which is how the wrong volume gets mounted (backends-block 1.6).
"""

import re
from pathlib import Path

from volplug.errors import HostError
from volplug.source import NvmeSerial, ScsiWwid

SYSFS = Path("/sys")

_NVME_NAMESPACE = re.compile(r"nvme\d+n\d+")


def disk_of(identity: NvmeSerial | ScsiWwid, sysfs: Path = SYSFS) -> str | None:
    """Return the kernel's name of the one disk with an identity, or None if it is not there (yet).

    Raises HostError if several disks show it and no multipath device joins them.
    """
    if isinstance(identity, NvmeSerial):
        wanted, pattern, attribute = identity.serial, "nvme*", "device/serial"
    else:
        wanted, pattern, attribute = identity.wwid, "sd*", "device/wwid"
    names = sorted(
        block.name
        for block in sysfs.glob(f"block/{pattern}")
        if _is_disk(block.name) and read(block / attribute) == wanted
    )
    joined = {_multipath(name, sysfs) or name for name in names}
    if len(joined) > 1:
        raise HostError(
            f"{identity} is shown by several disks ({', '.join(sorted(joined))}) that no multipath "
            "device joins: start multipathd, or detach all but one"
        )
    return joined.pop() if joined else None


def number(name: str, sysfs: Path = SYSFS) -> str:
    """Return `major:minor` of a disk, empty if it is gone."""
    return read(sysfs / "block" / name / "dev")


def name(number: str, sysfs: Path = SYSFS) -> str:
    """Return the kernel's name of the disk with a number."""
    return (sysfs / "dev/block" / number).resolve().name


def sequence(number: str, sysfs: Path = SYSFS) -> int:
    """Return the kernel's count of the disk that now has a number: unique until the next boot.

    0 if there is none, or before Linux 5.15, which does not count.
    """
    return int(read(sysfs / "dev/block" / number / "diskseq") or 0)


def read(path: Path) -> str:
    """Return what an attribute says, without the blanks that serials are padded with."""
    try:
        return path.read_text(errors="replace").strip(" \n\0")
    except OSError:
        return ""


def _is_disk(name: str) -> bool:
    """Whether it is a disk: hidden paths below a multipath NVMe disk (nvme0c1n1) are not."""
    return name.startswith("sd") or _NVME_NAMESPACE.fullmatch(name) is not None


def _multipath(name: str, sysfs: Path) -> str | None:
    for holder in (sysfs / "block" / name / "holders").glob("dm-*"):
        if read(holder / "dm/uuid").startswith("mpath-"):
            return holder.name
    return None
