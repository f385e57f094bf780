"""A stage whose mount program is in the test's hand, in a process that is to be killed.

Run as `python -m tests.linux.orphan_rig BASE`. The program is a mount helper of its own kind, and
is found where the machine's own are looked for. It leaves its session, as FUSE daemons do before
they mount, notes its number, asks its server (a directory) something if there is one, waits for
leave, mounts, and stays there if it is to serve.
"""

import sys
from pathlib import Path

from volplug.errors import HostError
from volplug.host import Filesystem
from volplug.linux import LinuxHost, mounting
from volplug.source import Share
from volplug.volume import Owner

NAME = "v"
SHARE = Share("late", "server:/share")

_HELPER = """#!/bin/sh
base={base}
setsid sh -c 'echo $$ >>"$0/programs"
    test ! -d "$0/server" || ls "$0/server" >/dev/null
    while test ! -e "$0/leave"; do sleep 0.02; done
    mount -i -n -c -t tmpfs late "$1"
    echo $$ >>"$0/mounted"
    while test -e "$0/serve"; do sleep 0.02; done' $base "$2" &
test ! -e $base/fail || exit 1
test -e $base/serve || wait
while test ! -e $base/mounted; do sleep 0.02; done
"""


def prepare(base: Path) -> None:
    """Put the mount program there."""
    helper = base / "sbin" / "mount.late"
    helper.parent.mkdir()
    helper.write_text(_HELPER.format(base=base))
    helper.chmod(0o755)


def programs(base: Path) -> list[int]:
    """Return the numbers of the programs that were about to mount, or have mounted."""
    try:
        return [int(line) for line in (base / "programs").read_text().splitlines()]
    except FileNotFoundError:
        return []


def stage(host: LinuxHost, base: Path) -> None:
    """Stage the volume by that program."""
    mounting.HELPER_DIRECTORIES = (base / "sbin",)
    host.stage(
        NAME, SHARE, filesystem=Filesystem(), remember=_forget, owner=Owner(), read_only=False
    )


def _forget(_: Filesystem) -> None:
    """Keep nothing: each stage is the first one."""


if __name__ == "__main__":
    place = Path(sys.argv[1])
    try:
        stage(LinuxHost(place / "state", place / "mounts"), place)
    except HostError as error:
        sys.exit(str(error))
