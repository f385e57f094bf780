"""Cutting a FUSE file system off from its daemon, on this machine.

Whoever waits for a daemon that took his question and is stuck cannot even be killed. The kernel's
control file system frees them all at once: each gets ECONNABORTED, and everybody after that
ENOTCONN, whether the daemon runs, is stopped, or hangs. What the daemon itself has taken in but not
yet passed on it may still pass on, as long as it lives: this cuts off the writers, not the daemon.
"""

import os
from pathlib import Path

from volplug.command import run
from volplug.errors import HostError
from volplug.linux import mountinfo
from volplug.linux.mountinfo import PROC, Mount

CONNECTIONS = Path("/sys/fs/fuse/connections")

_MINOR_BITS = 20  # the kernel lists connections by its own whole device number


def is_fuse(mount: Mount) -> bool:
    """Say whether it is a FUSE file system without a disk: a disk's has another kind of number."""
    return mount.fstype.partition(".")[0] == "fuse" and mount.device.startswith("0:")


def connection(device: str) -> Path:
    """Return where the kernel lists the connection of the FUSE file system `major:minor`."""
    major, _, minor = device.partition(":")
    return CONNECTIONS / str(int(major) << _MINOR_BITS | int(minor))


def abort(mount: Mount) -> None:
    """End the connection of a FUSE file system with its daemon, for good; repeating is success.

    Never waits for the daemon. All mounts of the file system are cut off, and no other one: raises
    HostError, having done nothing, if this mount is not FUSE or not what is mounted there now.
    """
    if not is_fuse(mount):
        raise HostError(f"{mount.mountpoint} is {mount.fstype}, which has no FUSE connection")
    list_connections()
    try:
        # Held open, it cannot go, nor its number to another file system. O_PATH asks no daemon.
        held = os.open(mount.mountpoint, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise _impossible(mount, error) from error
    try:
        if not _is(held, mount):
            raise HostError(
                f"the FUSE connection of {mount.mountpoint} is not aborted, for another file "
                "system is mounted there by now"
            )
        (connection(mount.device) / "abort").write_text("1")
    except OSError as error:
        raise _impossible(mount, error) from error
    finally:
        os.close(held)


def _impossible(mount: Mount, error: OSError) -> HostError:
    return HostError(
        f"the FUSE connection of {mount.mountpoint} cannot be aborted: {error.strerror}"
    )


def _is(held: int, mount: Mount) -> bool:
    """Whether that open file lies in the mount, and the mount is of the same file system still."""
    lines = (PROC / f"self/fdinfo/{held}").read_text().splitlines()
    numbers = dict(line.split(":", 1) for line in lines)
    return int(numbers["mnt_id"]) == mount.number and any(
        (now.number, now.device) == (mount.number, mount.device) for now in mountinfo.read()
    )


def list_connections() -> None:
    """Mount the control file system where systemd does, if nobody has."""
    if mountinfo.read().at(CONNECTIONS) is None:
        run(["mount", "-i", "-n", "-t", "fusectl", "fusectl", CONNECTIONS])
