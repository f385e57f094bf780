"""Programs that outlived the volplug that began them, ended before anything else is believed.

A mount program is a process of its own: whoever kills volplug does not kill it, and it may mount
long after the next volplug has looked, found nothing, and let the lease go. So what the kernel
lists of a volume counts only once no program of a stage that was cut short is left. A parent's
death signal would not do: it is lost where a program changes its rights, and reaches no child.

Each program carries whose work it does. A daemon of a stage that was finished carries that, too,
and is to live: which attempt was finished stands in the volume's record.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from volplug.deadline import shielded, wait_until
from volplug.errors import DeadlineExceeded, HostError
from volplug.linux import processes
from volplug.linux.record import StagedRecords

VARIABLE = "VOLPLUG_WORK"
"""The variable that says what volume a program works on, and for which attempt."""

NO_ATTEMPT = "-"
"""Instead of an attempt to stage: work that leaves no daemon behind."""

PATIENCE_S = 2.0
"""How long what was killed may take to end, if no uninterruptible sleep keeps it."""

_SHARED = frozenset({"rpc.statd"})
"""What mount.nfs starts where it is missing: it mounts nothing, and serves all NFS mounts."""


class Program(Protocol):
    """A process that works on a volume for somebody who is gone."""

    @property
    def volume(self) -> str:
        """The volume's name."""
        ...

    @property
    def words(self) -> str:
        """What it is, for people."""
        ...

    def kill(self) -> None:
        """Begin its end; one that has ended is success."""
        ...


class Orphans:
    """What an earlier life left at work on this node's volumes; made before anything is begun."""

    def __init__(self, find: Callable[[], Iterable[Program]]) -> None:
        """End what there is. What does not end soon is kept in mind, and keeps its volume."""
        self._find = find
        self._left = {program.volume for program in find()}
        try:
            with shielded(PATIENCE_S):
                wait_until(lambda: not self._strike(self._left), "left programs", poll_s=0.02)
        except DeadlineExceeded:
            self._left = set(self._strike(self._left))
        else:
            self._left.clear()

    def work_on(self, volume: str) -> bool:
        """Whether a volume may still be mounted, or unmounted, by what is left. Never waits."""
        return volume in self._left

    def suspect(self, volume: str) -> None:
        """Have a volume looked at before it is touched again: an attempt has just failed."""
        self._left.add(volume)

    def settle(self, volume: str) -> None:
        """Return once nothing is left at work on a volume; its own turn has to be held.

        Raises HostError, naming the program, if it cannot be ended now.
        """
        if volume not in self._left:
            return
        found: dict[str, str] = {}

        def is_alone() -> bool:
            found.clear()
            found.update(self._strike({volume}))
            return not found

        try:
            with shielded(PATIENCE_S):
                wait_until(is_alone, "left programs", poll_s=0.02)
        except DeadlineExceeded:
            raise HostError(
                f"volume '{volume}' is still worked on by {found[volume]}, which volplug began and"
                " could not see to its end, and which cannot be ended either: it waits for its"
                " server or disk; the volume can be used again when that answers, or after a"
                " restart of this machine"
            ) from None
        self._left.discard(volume)

    def _strike(self, volumes: Iterable[str]) -> dict[str, str]:
        """Kill what is left at work on these volumes; return what was there, by volume.

        To find nothing is the proof that all have ended, for what was found may just have begun
        another one.
        """
        found: dict[str, str] = {}
        for program in self._find():
            if program.volume in volumes:
                program.kill()
                found[program.volume] = program.words
        return found


@dataclass(frozen=True, slots=True)
class _Process:
    volume: str
    number: int
    mark: bytes

    @property
    def words(self) -> str:
        return f"{processes.name(self.number) or 'a program'} (process {self.number})"

    def kill(self) -> None:
        processes.kill_marked(self.number, self.mark)


def mark(mount_dir: Path, volume: str, attempt: str) -> str:
    """Return the value of VARIABLE for one attempt at one volume."""
    return f"{mount_dir}/{volume}@{attempt}"


def find(mount_dir: Path, records: StagedRecords) -> Iterator[Program]:
    """Find the processes at work below a directory for what was not finished.

    To be asked while nothing is begun on those volumes.
    """
    head = f"{VARIABLE}={mount_dir}/".encode()
    for number in processes.others():
        for word in processes.environment(number):
            if word.startswith(head):
                volume, _, attempt = word[len(head) :].decode(errors="replace").rpartition("@")
                if (
                    _is_cut_short(records, volume, attempt)
                    and processes.name(number) not in _SHARED
                ):
                    yield _Process(volume, number, word)


def _is_cut_short(records: StagedRecords, volume: str, attempt: str) -> bool:
    if attempt == NO_ATTEMPT:
        return True
    try:
        staged = records.get(volume)
    except (HostError, ValueError):
        return False  # nothing is done to such a volume before a person has seen to it
    return staged is not None and staged.attempt == attempt
