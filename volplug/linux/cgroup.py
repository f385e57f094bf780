"""A place outside our own cgroup for the daemons that mount programs leave behind.

Whoever ends volplug may end everything in its cgroup. A FUSE daemon in there would go too, and
every container on its volume would see ENOTCONN until it is restarted (backends-file 1.5). A
daemon is where the program was that began it: so the program is moved, before it begins.

Only the hierarchies by which processes are found and ended are left: the unified one and the named
ones. Those of cgroup v1 with controllers hold limits, from which nothing escapes through us.
"""

import functools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from volplug.command import run
from volplug.deadline import check, deadline
from volplug.errors import DeadlineExceeded, VolplugError
from volplug.linux import mountinfo

SYSTEMD = Path("/run/systemd/system")
OWN = Path("/proc/self/cgroup")
NAME = "volplug-mounts"

_SCOPE = ("systemd-run", "--scope", "--quiet", "--collect", "--")
_PROBE_S = 5.0
_ENTER = '{ echo $$ >"$0"; } 2>/dev/null; exec "$@"'


def outside() -> list[str]:
    """Return the words to start a program through, so that it runs outside our own cgroup.

    With systemd that is a scope of its own; elsewhere the cgroup `volplug-mounts` at the top. None
    where cgroups cannot be written, as in a container, and where we are at the top ourselves.
    """
    if SYSTEMD.is_dir() and _systemd_answers():
        return list(_SCOPE)
    words: list[str] = []
    for hierarchy in _hierarchies():
        with suppress(OSError):
            (hierarchy / NAME).mkdir(exist_ok=True)
            words += ["sh", "-c", _ENTER, str(hierarchy / NAME / "cgroup.procs")]
    return words


@functools.cache
def _systemd_answers() -> bool:
    """Try it once: there may be no bus to reach it by, or no right to use it."""
    try:
        with deadline(_PROBE_S):
            run([*_SCOPE, "true"])
    except DeadlineExceeded:
        check("systemd-run")  # raises, and nothing is remembered, if it was not our own deadline
        return False
    except VolplugError:
        return False
    return True


def _hierarchies() -> Iterator[Path]:
    """Find where those are mounted, with their true top, that have us somewhere below the top."""
    mounts = [mount for mount in mountinfo.read() if mount.root == "/"]
    for line in OWN.read_text().splitlines():
        number, kind, path = line.split(":", 2)  # as in cgroups(7)
        if path == "/":
            continue
        for mount in mounts:
            unified = mount.fstype == "cgroup2" and number == "0"
            named = mount.fstype == "cgroup" and kind.startswith("name=")
            if unified or (named and kind in mount.super_options):
                yield Path(mount.mountpoint)
                break
