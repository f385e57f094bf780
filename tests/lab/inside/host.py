"""Stages and unstages volumes on a guest without volplug around: the Linux host by itself.

`host.py stage NAME SOURCE [FORMATTED FSTYPE UUID]`, with the source as JSON, prints where the
volume is; `host.py unstage NAME` prints nothing. A refusal goes to standard error, and before it
what is to be remembered of the volume's file system. State is kept where volplug keeps none.
"""

import sys
from pathlib import Path

from volplug import source
from volplug.errors import VolplugError
from volplug.host import Filesystem, Formatted
from volplug.linux import LinuxHost
from volplug.volume import Owner


def _known(words: list[str]) -> Filesystem:
    """Return what is said to be known of the volume's file system; nothing, if nothing is."""
    if not words:
        return Filesystem()
    formatted, fstype, uuid = words
    return Filesystem(Formatted(formatted), fstype, uuid)


def _remember(one: Filesystem) -> None:
    sys.stderr.write(f"{one.formatted} {one.fstype} {one.uuid}\n")


def main() -> int:
    """Do what the command line says, and return the exit code."""
    verb, name, *rest = sys.argv[1:]
    host = LinuxHost(Path("/run/lab-host/state"), Path("/run/lab-host/mounts"))
    try:
        if verb == "stage":
            host.stage(
                name,
                source.from_json(rest[0]),
                filesystem=_known(rest[1:]),
                remember=_remember,
                owner=Owner(),
                read_only=False,
            )
            sys.stdout.write(f"{host.path(name)}\n")
        else:
            host.unstage(name)
    except VolplugError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


sys.exit(main())
