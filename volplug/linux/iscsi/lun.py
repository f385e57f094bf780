"""One LUN on its way up and down.

Up: log in through every portal, show the kernel this LUN alone, and compare serials. An array gives
a freed number to the next LUN at once, while the kernel keeps the disk that it saw there before: so
a disk with another serial is asked again, then forgotten and looked for again, then refused.

Down, from the node's own record: write back, delete the disk, and end the session if no other LUN
uses it. In this order, for a disk that is left behind would be taken for the next LUN of its number
(backends-block 9).
"""

import logging
import math
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volplug.crashpoint import crashpoint
from volplug.deadline import deadline, remaining, wait_until
from volplug.errors import Busy, DeadlineExceeded, Unavailable, Unsupported, VolplugError
from volplug.linux.iscsi import disks, initiator, multipath
from volplug.linux.iscsi.sessions import ScsiDisk, Session, plain, sessions
from volplug.linux.sysfs import SYSFS
from volplug.source import IscsiLun

_log = logging.getLogger(__name__)

_RETURN_S = 15.0
"""How long a session that was lost may take to come back before its portal counts as dead."""
_LAST_LUN = 255  # from 256 on, SCSI has several spellings of a number, and arrays differ

# One at a time changes a target's sessions: the last LUN's way down would end the session in which
# another one has just been logged in.
_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def connect(lun: IscsiLun) -> str:
    """Make a LUN a disk of this machine, and return its name. Connected already is success.

    Raises Unavailable if no portal answers or none shows the LUN, HostError if what it shows is
    another one or the ways to it cannot be joined, Busy if the target's turn does not come.
    """
    if lun.lun > _LAST_LUN:
        raise Unsupported(f"LUN number {lun.lun} is too large: volplug knows 0 to {_LAST_LUN}")
    many = len(lun.portals) > 1
    if many:
        multipath.require()
    with _turn(lun.iqn):
        found = _log_in(lun)
        crashpoint("stage.iscsi.logged_in")
        names = [disks.show(session, lun) for session in found]
        crashpoint("stage.iscsi.scanned")
        name = multipath.join(names) if many else multipath.joined(names[0]) or names[0]
        crashpoint("stage.iscsi.joined")
    return name


def name_of(lun: IscsiLun, sysfs: Path = SYSFS) -> str | None:
    """Return the name of a connected LUN's disk, or None; reads sysfs only.

    One way of several is not the disk.
    """
    names = {disk.name for disk in _ways(lun, sysfs) if disk.name}
    joined = {multipath.joined(name, sysfs) for name in names}
    if len(lun.portals) == 1 and joined == {""}:
        joined = names
    return joined.pop() if len(joined) == 1 and "" not in joined else None


def disconnect(lun: IscsiLun) -> None:
    """Let go of a LUN, be its array there or gone, from what the kernel shows. Gone is success.

    Raises HostError if somebody has its disk still: then its session stays as well.
    """
    with _turn(lun.iqn):
        ways = _ways(lun)
        for way in ways:
            disks.flush(way.name)
        for name in {multipath.joined(way.name) for way in ways} - {""}:
            disks.flush(name)
            multipath.part(name)
        disks.refuse_holders(ways)
        crashpoint("unstage.iscsi.flushed")
        disks.delete(ways)
        crashpoint("unstage.iscsi.deleted")
        used = [one for one in sessions(lun.iqn, lun.portals) if one.disks()]
        for portal in lun.portals:
            if plain(portal) not in [session.portal for session in used]:
                initiator.log_out(lun.iqn, portal)
                crashpoint("unstage.iscsi.logged_out")
                initiator.forget(lun.iqn, portal)
        crashpoint("unstage.iscsi.forgotten")


def _log_in(lun: IscsiLun) -> list[Session]:
    """Log in through all portals; some may be dead if there are several, but not all."""
    problems: list[VolplugError] = []
    for portal in lun.portals:
        try:
            _log_in_at(lun, portal)
        except (Unavailable, DeadlineExceeded) as error:
            problems.append(error)
    found = [session for session in sessions(lun.iqn, lun.portals) if session.works]
    if not found and problems:
        raise problems[0]
    if not found:
        raise Unavailable(
            f"the iSCSI sessions with {lun.iqn} were lost as soon as they were made; try again"
        )
    for problem in problems:
        _log.warning("iqn=%s one way to LUN %s is missing: %s", lun.iqn, lun.lun, problem)
    return found


def _log_in_at(lun: IscsiLun, portal: str) -> None:
    if not sessions(lun.iqn, [portal]):
        patience_s = initiator.MANY_WAYS_S if len(lun.portals) > 1 else initiator.ONE_WAY_S
        initiator.log_in(lun.iqn, portal, patience_s=patience_s)

    def works() -> bool:
        return any(session.works for session in sessions(lun.iqn, [portal]))

    with deadline(_RETURN_S):
        wait_until(works, f"the iSCSI session with {lun.iqn} at {portal}")


def _ways(lun: IscsiLun, sysfs: Path = SYSFS) -> list[ScsiDisk]:
    """List a LUN's disks by their serial, under whatever number they were seen."""
    return [
        disk
        for session in sessions(lun.iqn, lun.portals, sysfs)
        for disk in session.disks()
        if disk.serial == lun.serial
    ]


@contextmanager
def _turn(iqn: str) -> Iterator[None]:
    turn, limit_s = _turns[iqn], remaining()
    if not turn.acquire(timeout=-1 if limit_s == math.inf else min(limit_s, threading.TIMEOUT_MAX)):
        raise Busy(f"another volume is on its way to or from {iqn}; try again later")
    try:
        yield
    finally:
        turn.release()
