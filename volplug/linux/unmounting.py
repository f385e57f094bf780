"""Unmounting, by children that can be killed: plainly, then by force, and lazily at the very last.

With its server gone, a share that nobody uses can be unmounted plainly and at once. But a writer
that was killed in mid-write does not die: it waits for the server to take what it wrote, then for
the close, deaf to SIGKILL, and the mount is "busy". Force fails what is being waited for, one step
each time. On a server that answers, force would break the work of whoever is inside: there, busy
means in use. And all NFS mounts of one export share one connection: force would break the others'
work too (all measured on Linux 6.1, NFS 3 and 4.2).
"""

import logging
import threading
import time
from concurrent.futures import Future
from enum import Enum, auto
from pathlib import Path

from volplug.command import run
from volplug.deadline import check, deadline
from volplug.errors import DeadlineExceeded, HostError, VolumeInUse
from volplug.linux import fuse, pulse
from volplug.linux.mountinfo import MountWatch
from volplug.linux.pulse import Answer

_log = logging.getLogger(__name__)

_RUNG_S = 10.0
"""How long a server may take to let a share go before we go on without it."""

_BLOWS, _BLOW_S = 10, 0.2
"""How often force is tried, and how long those whom it frees get to take their next step."""


class _Outcome(Enum):
    DONE = auto()
    BUSY = auto()
    LATE = auto()


def unmount(target: Path, watch: MountWatch) -> None:
    """Unmount all that lies on a directory, however long a disk's last writes take.

    Nothing there is success. Raises VolumeInUse if a process of this machine works inside it.
    """
    while watch.now().at(target) is not None:
        if _umount(target) is _Outcome.BUSY:
            raise _in_use(target)


def unmount_share(target: Path, watch: MountWatch) -> None:
    """Unmount all that lies on a directory, its server there or gone. Nothing there is success.

    If force or laziness was needed, that is logged; what was detached lazily lives on unseen, and
    `superblock.lives` tells. Raises VolumeInUse if a process of this machine works inside it.
    """
    while watch.now().at(target) is not None:
        outcome = _in_time(target)
        if outcome is _Outcome.DONE or watch.now().at(target) is None:
            continue
        if outcome is _Outcome.BUSY and _answers(target):
            raise _in_use(target)
        if _has_siblings(target, watch):
            raise VolumeInUse(
                f"{target} is not unmounted yet: it has something to write to its server, which "
                "does not answer, and force would break the other volumes there; it is unmounted "
                "when the server answers again"
            )
        _go_on_alone(target, watch)


def _has_siblings(target: Path, watch: MountWatch) -> bool:
    """Whether the same file system is mounted elsewhere on this machine."""
    mount = watch.now().at(target)
    return mount is not None and any(
        other.device == mount.device and other.mountpoint != mount.mountpoint
        for other in watch.now()
    )


def _go_on_alone(target: Path, watch: MountWatch) -> None:
    """Unmount once, without the server's help."""
    _log.warning(
        "path=%s unmounted by force, for its server is silent: what was not written yet is lost",
        target,
    )
    _abort(target, watch)
    outcome = _force(target)
    if watch.now().at(target) is None:
        return
    if outcome is _Outcome.BUSY:
        raise _in_use(target)
    _log.warning("path=%s detached lazily, for force did not help: it lives on unseen", target)
    if _in_time(target, "-l") is not _Outcome.DONE and watch.now().at(target) is not None:
        raise HostError(f"{target} cannot even be detached: only a restart of this machine helps")


def _abort(target: Path, watch: MountWatch) -> None:
    """Free whoever waits for a FUSE daemon, without waiting for a program as force has to."""
    mount = watch.now().at(target)
    if mount is None or not fuse.is_fuse(mount):
        return
    try:
        fuse.abort(mount)
    except HostError as error:
        _log.warning("path=%s goes on without: %s", target, error)
    else:
        _log.warning("path=%s had its FUSE connection aborted", target)


def _force(target: Path) -> _Outcome:
    for _ in range(_BLOWS):
        outcome = _in_time(target, "-f")
        if outcome is not _Outcome.BUSY:
            return outcome
        time.sleep(_BLOW_S)
    return _Outcome.BUSY


def _answers(target: Path) -> bool:
    """Whether the server answers; a child that outlives even SIGKILL is left for force to free."""
    answer: Future[Answer] = Future()
    work = threading.Thread(target=lambda: answer.set_result(pulse.ask(target)), daemon=True)
    work.start()
    try:
        return answer.result(2 * pulse.PATIENCE_S) is Answer.FINE
    except TimeoutError:
        return False


def _in_time(target: Path, *flags: str) -> _Outcome:
    try:
        with deadline(_RUNG_S):
            return _umount(target, *flags)
    except DeadlineExceeded:
        check(f"the unmount of {target}")  # raises if it was not our own deadline
        return _Outcome.LATE


def _umount(target: Path, *flags: str) -> _Outcome:
    """Run umount without its helpers, which might hang, and without a look inside, which would."""
    try:
        run(["umount", *flags, "-i", "-n", "-c", "--", target])
    except HostError as error:
        if "busy" in str(error):
            return _Outcome.BUSY
        if "not mounted" not in str(error):  # an earlier child may have gone on
            raise
    return _Outcome.DONE


def _in_use(target: Path) -> VolumeInUse:
    return VolumeInUse(
        f"{target} cannot be unmounted: a process has a file open or its working directory there "
        f"(`fuser -vm {target}` shows it)"
    )
