"""Dies at every step of a LUN's way up and down, here, where the kernel can log in to targets.

`crashes.py SOURCE POINT...`, with the source as JSON. For each point a child stages the volume, or
takes it down, and is killed there; then another child goes on, and from the points on the way to an
iSCSI disk it also turns back. What the machine has then is counted; what should not be there is
printed, and the number of deaths at the end. Children are forked, for Python starts in a second.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from volplug import source
from volplug.crashpoint import VARIABLE
from volplug.host import Filesystem, Formatted
from volplug.linux import LinuxHost
from volplug.volume import Owner

_PLACE = Path("/run/lab-crashes")
_KNOWN = _PLACE / "filesystem.json"
_NAME = "v"
_WHOLE = {"sessions": 1, "disks": 1, "node records": 1, "mounts": 2, "staged": 1, "directories": 1}
_deaths = 0


def stage() -> None:
    """Stage the volume, and remember its file system as a catalog does."""
    known = json.loads(_KNOWN.read_text()) if _KNOWN.exists() else {}
    _host().stage(
        _NAME,
        source.from_json(sys.argv[1]),
        filesystem=Filesystem(**{**known, "formatted": Formatted(known.get("formatted", "blank"))}),
        remember=_remember,
        owner=Owner(),
        read_only=False,
    )


def _remember(filesystem: Filesystem) -> None:
    _KNOWN.write_text(json.dumps(asdict(filesystem)))


def unstage() -> None:
    """Take the volume down."""
    _host().unstage(_NAME)


def counts() -> dict[str, int]:
    """Count what a volume may leave on the machine."""
    return {
        "sessions": len(list(Path("/sys/class/iscsi_session").glob("*"))),
        "disks": len(list(Path("/sys/block").glob("sd*"))),
        "node records": len(list(Path("/var/lib/iscsi/nodes").glob("*/*"))),
        "mounts": Path("/proc/self/mounts").read_text().count(str(_PLACE)),
        "staged": len(list((_PLACE / "state/staged").glob("[!.]*"))),
        "directories": len(list((_PLACE / "mounts").glob("[!.]*"))),
    }


def _host() -> LinuxHost:
    return LinuxHost(_PLACE / "state", _PLACE / "mounts")


def _child(verb: Callable[[], None], dies_at: str = "") -> None:
    """Do it in a child, and tell if that does not end as it should."""
    child = os.fork()
    if child == 0:
        os.environ[VARIABLE] = dies_at
        code = 1
        try:
            verb()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    global _deaths  # noqa: PLW0603  a script's one number
    _deaths += bool(dies_at)
    if os.waitstatus_to_exitcode(status) != (-9 if dies_at else 0):
        _tell(f"{verb.__name__}, to die at {dies_at or 'no point'}, ended with status {status}")


def _die_on_the_way_up(point: str) -> None:
    """Die; then the volume is taken down, or is brought up in spite of it."""
    _child(stage, point)
    if ".iscsi." in point:
        _child(unstage)
        _expect({}, point)
        _child(stage, point)
    _child(stage)
    _expect(_WHOLE, point)


def _die_on_the_way_down(point: str) -> None:
    """Die; then the volume is taken down in spite of it."""
    _child(unstage, point)
    _child(unstage)
    _expect({}, point)


def _expect(wanted: dict[str, int], point: str) -> None:
    found = {name: count for name, count in counts().items() if count}
    if found != wanted:
        _tell(f"after {point}: {found}")


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")


_PLACE.mkdir()
_up = [point for point in sys.argv[2:] if point.startswith("stage.")]
_down = [point for point in sys.argv[2:] if point.startswith("unstage.")]
_child(stage)  # once in peace, for only a blank disk is formatted
for _point in _down[len(_up) :]:
    _die_on_the_way_down(_point)
    _child(stage)
_child(unstage)
for _point, _other in zip(_up, _down, strict=False):
    _die_on_the_way_up(_point)
    _die_on_the_way_down(_other)
_tell(f"deaths: {_deaths}")
