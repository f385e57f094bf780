"""One LUN in one session: shown, compared, written back, and forgotten.

The kernel's disk of a number may be that of a LUN which had the number before; so what it is to be
is compared each time, and nothing is deleted that somebody uses.
"""

import logging
from collections.abc import Collection

from volplug.command import run
from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded, HostError, Unavailable, VolplugError
from volplug.linux import mountinfo
from volplug.linux.footprint import is_shown
from volplug.linux.iscsi.sessions import ScsiDisk, Session
from volplug.linux.sysfs import SYSFS, number
from volplug.source import IscsiLun

_log = logging.getLogger(__name__)

_APPEAR_S = 30.0
"""How long a LUN may take to appear after the array said that it is mapped."""
_FLUSH_S = 5.0
_GONE_S = 30.0


def show(session: Session, lun: IscsiLun) -> str:
    """Have the kernel see a LUN through one session, and return the name of what it made of it."""
    known = session.disk(lun.lun)
    if known is not None:
        known.rescan()
        if not known.works or known.serial != lun.serial:
            _forget_stale(known, lun)
    seen: list[ScsiDisk] = []

    def appears() -> bool:
        disk = session.disk(lun.lun)
        if disk is None:
            session.scan(lun.lun)
            disk = session.disk(lun.lun)
        seen[:] = [disk] if disk and disk.name else []
        return bool(seen)

    try:
        with deadline(_APPEAR_S):
            wait_until(appears, f"LUN {lun.lun} of {lun.iqn}", poll_s=0.3)
    except DeadlineExceeded as error:
        raise Unavailable(
            f"the iSCSI target {lun.iqn} at {session.portal} shows this node no LUN {lun.lun}: "
            "look on the array whether the LUN is online and mapped to this node; try again"
        ) from error
    [disk] = seen
    if disk.serial != lun.serial:
        raise HostError(
            f"LUN {lun.lun} of {lun.iqn} at {session.portal} is another disk: it has the serial "
            f"{disk.serial!r} and not {lun.serial!r}; nothing was touched; compare with the "
            "array's LUN maps, and try again"
        )
    return disk.name


def flush(name: str) -> None:
    """Write back what the kernel may hold still, but not wait long for an array that is gone."""
    try:
        with deadline(_FLUSH_S):
            run(["blockdev", "--flushbufs", f"/dev/{name}"])
    except VolplugError as error:
        _log.warning("disk=%s was not flushed: %s", name, error)


def delete(disks: Collection[ScsiDisk]) -> None:
    """Have the kernel forget disks, and return when it has. Gone is success."""
    for disk in disks:
        disk.delete()
    try:
        with deadline(_GONE_S):
            wait_until(lambda: not any(disk.exists for disk in disks), "the disk to go")
    except DeadlineExceeded:
        left = ", ".join(disk.name or disk.directory.name for disk in disks if disk.exists)
        raise HostError(
            f"the kernel does not let {left} go: its last commands wait for the array; try again "
            "when the array answers, or restart this machine"
        ) from None


def refuse_holders(disks: Collection[ScsiDisk]) -> None:
    """Raise HostError if other devices, such as logical volumes, stand on a disk."""
    for disk in disks:
        holders = [holder.name for holder in (SYSFS / "block" / disk.name / "holders").glob("*")]
        if disk.name and holders:
            raise HostError(
                f"/dev/{disk.name} is part of {', '.join(sorted(holders))}, which volplug did not "
                "make: take that down, then try again"
            )


def _forget_stale(disk: ScsiDisk, lun: IscsiLun) -> None:
    """Delete what an earlier LUN left under our number; raise HostError if somebody uses it."""
    refuse_holders([disk])
    if is_shown(number(disk.name), mountinfo.read()):
        raise HostError(
            f"/dev/{disk.name} stands where LUN {lun.lun} of {lun.iqn} should, and is mounted: a "
            "volume was taken from this node while it was used; stop what uses it, then try again"
        )
    delete([disk])
