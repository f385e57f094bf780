"""Several ways to one LUN, joined to one disk by multipathd.

Debian's multipathd joins only disks whose names it was told once (`find_multipaths strict`), so it
is told. A single way is never mounted in place of the joined disk: written through two ways at once
a LUN is destroyed, and with the one way its disk is gone.
"""

from collections.abc import Collection
from pathlib import Path

from volplug.command import run
from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded, HostError, Unsupported
from volplug.linux.sysfs import SYSFS, read

_JOIN_S, _FLUSH_S = 90.0, 30.0


def require() -> None:
    """Raise HostError unless multipathd runs."""
    try:
        run(["multipathd", "show", "daemon"])
    except (HostError, Unsupported) as error:
        raise HostError(
            "this LUN has several portals, and multipathd, which joins the ways to it, does not "
            f"run ({error}): install multipath-tools and start multipathd; or name one portal "
            "alone in the backend's `portals`, and do without the others"
        ) from error


def joined(name: str, sysfs: Path = SYSFS) -> str:
    """Return the name of the disk that multipathd made of a way to it, empty if it made none."""
    for holder in (sysfs / "block" / name / "holders").glob("dm-*"):
        if read(holder / "dm/uuid").startswith("mpath-"):
            return holder.name
    return ""


def join(names: Collection[str]) -> str:
    """Have multipathd make one disk of the ways, and return its name. Done already is success.

    Raises DeadlineExceeded if it does not.
    """
    for name in names:
        if not joined(name):
            run(["multipath", "-a", f"/dev/{name}"])

    def is_one() -> bool:
        # Refused while udev has not read the disk yet, so this is said again.
        for name in names:
            if not joined(name):
                run(["multipathd", "add", "path", name], expect=(0, 1))
        made = {joined(name) for name in names}
        return len(made) == 1 and "" not in made

    with deadline(_JOIN_S):
        wait_until(is_one, f"multipathd to join {', '.join(sorted(names))}", poll_s=1)
    return joined(next(iter(names)))


def resize(disk: str) -> None:
    """Have the joined disk show the size of the ways to it."""
    run(["multipathd", "resize", "map", _map(disk)])


def part(disk: str) -> None:
    """Undo the join, and let multipathd forget it; raise HostError if somebody has the disk."""
    name = _map(disk)
    ways = [way.name for way in (SYSFS / "block" / disk / "slaves").glob("*")]
    run(["multipathd", "disablequeueing", "map", name], expect=(0, 1))
    for way in ways:
        run(["multipath", "-w", f"/dev/{way}"], expect=(0, 1))

    def is_gone() -> bool:
        if (SYSFS / "block" / disk).is_dir():
            run(["multipath", "-f", name], expect=range(256))
        return not (SYSFS / "block" / disk).is_dir()

    try:
        with deadline(_FLUSH_S):
            wait_until(is_gone, "the joined disk to go", poll_s=0.5)
    except DeadlineExceeded:
        raise HostError(
            f"the volume is unmounted, but its disk {name} is still in use: `dmsetup info {name}` "
            f"and `fuser -v /dev/{disk}` show by whom; end that, then try again"
        ) from None


def _map(disk: str) -> str:
    return read(SYSFS / "block" / disk / "dm/name")
