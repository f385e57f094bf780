"""Holding up, and ending, the processes that use a tree which cannot be stopped by itself.

A share is one super block for many volumes, so nothing may be done to it; its users are what can be
stopped. A container is frozen as one, by its cgroup, where everything in that cgroup uses the
volume. What shares its cgroup with others, as our own daemons and a login shell do, is signalled
process by process.
"""

import os
import signal
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from volplug.linux import mountinfo
from volplug.linux.footprint import Footprint
from volplug.linux.mountinfo import PROC, Place
from volplug.linux.processes import others


@dataclass(frozen=True)
class Users:
    """The processes that see a tree: whole cgroups of them, and single ones.

    `unified` are cgroups of version 2, `freezers` those of version 1.
    """

    processes: frozenset[int]
    unified: list[Path] = field(default_factory=list)
    freezers: list[Path] = field(default_factory=list)
    single: list[int] = field(default_factory=list)

    def freeze(self) -> None:
        """Let none of them run on."""
        for group in self.unified:
            _write(group / "cgroup.freeze", "1")
        for group in self.freezers:
            _write(group / "freezer.state", "FROZEN")
        _signal(self.single, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them run on."""
        for group in self.unified:
            _write(group / "cgroup.freeze", "0")
        for group in self.freezers:
            _write(group / "freezer.state", "THAWED")
        _signal(self.single, signal.SIGCONT)

    def kill(self) -> None:
        """End them all. What is frozen by version 1 dies only when it is thawed."""
        for group in self.unified:
            if not _write(group / "cgroup.kill", "1"):
                _signal(_members(group), signal.SIGKILL)
        _signal(self.processes, signal.SIGKILL)
        for group in self.freezers:
            _write(group / "freezer.state", "THAWED")


def of(footprint: Footprint, places: Collection[Place]) -> Users:
    """Find who has a tree mounted in another mount namespace than ours, elsewhere than on `places`.

    A service with a namespace of its own sees copies of all our mounts, on the directories they
    have here: it uses none of them, and it is not to be touched. Neither are processes of our own
    namespace, of which the kernel does not tell cheaply whether they use a volume.
    """
    processes = frozenset(_processes(footprint, places))
    users = Users(processes)
    placed: set[int] = set()
    for group in sorted({place for one in processes for place in _groups(one, "")}):
        members = _members(group)
        if members and processes.issuperset(members):
            users.unified.append(group)
            placed |= members
    left = processes - placed
    for group in sorted({place for one in left for place in _groups(one, "freezer")}):
        members = _members(group)
        if members and processes.issuperset(members):
            users.freezers.append(group)
            placed |= members
    users.single.extend(sorted(processes - placed))
    return users


def _processes(footprint: Footprint, places: Collection[Place]) -> Iterator[int]:
    """Yield all processes that use the footprint, but for our own namespace's."""
    own = os.readlink(PROC / "self/ns/mnt")  # noqa: PTH115  a word, not a path
    shows: dict[tuple[str, str], bool] = {}
    for process in others():
        with suppress(OSError):
            directory = PROC / str(process)
            view = str((directory / "ns/mnt").readlink()), str((directory / "root").readlink())
            if view[0] == own:
                continue
            if view not in shows:
                mounts = mountinfo.read(str(process))
                shows[view] = any(
                    footprint.covers(each) and mounts.place_of(each) not in places
                    for each in mounts
                )
            if shows[view]:
                yield process


def _groups(process: int, controller: str) -> Iterator[Path]:
    """Yield a process's cgroup below where that hierarchy is mounted, unless it is the top."""
    try:
        lines = (PROC / str(process) / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, kind, path = line.split(":", 2)
        wanted = kind == controller if controller else number == "0"
        if wanted and path != "/" and not path.startswith("/.."):
            for mount in _hierarchies(controller):
                yield Path(mount + path)


def _hierarchies(controller: str) -> list[str]:
    mounts = [mount for mount in mountinfo.read() if mount.root == "/"]
    if not controller:
        return [mount.mountpoint for mount in mounts if mount.fstype == "cgroup2"][:1]
    return [
        mount.mountpoint
        for mount in mounts
        if mount.fstype == "cgroup" and controller in mount.super_options
    ][:1]


def _members(group: Path) -> set[int]:
    """Return the processes of a cgroup and of those below it; 0 stands for one we cannot see."""
    found: set[int] = set()
    for file in (group / "cgroup.procs", *group.glob("*/**/cgroup.procs")):
        with suppress(OSError):
            found |= {int(word) for word in file.read_text().split()}
    return found


def _write(file: Path, word: str) -> bool:
    """Write to a control file and say whether that worked: an old kernel may not have it."""
    try:
        file.write_text(word)
    except OSError:
        return False
    return True


def _signal(processes: Iterable[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
