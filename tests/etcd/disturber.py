"""What happens to a cluster and to the machines that use it, drawn by chance from a seed.

One thing at a time happens to the members, so that a majority is always there, and one at a time to
the machines. A member stuck in `fdatasync` is not like one that is stopped: it goes on talking.
"""

import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.etcd.cluster import Cluster, Member
from tests.etcd.hosts import Host
from tests.etcd.partition import Partition

STUCK_S = 8.0


@dataclass(frozen=True, slots=True)
class Death:
    """A machine that died, and what it held."""

    host: str
    held: tuple[tuple[str, int], ...]
    at_s: float


@contextmanager
def stuck_disk(strace: Path, member: Member) -> Iterator[None]:
    """Let every fdatasync of a member take 8 s longer, until the block is left."""
    assert member.process is not None
    delay = f"inject=fdatasync:delay_enter={STUCK_S * 1e6:.0f}"
    words = ["-f", "-q", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", delay]
    tracer = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", strace, *words, "-p", str(member.process.pid)],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        tracer.terminate()
        try:
            tracer.wait(5.0)
        except subprocess.TimeoutExpired:
            tracer.kill()  # the kernel lets the member go
            tracer.wait(5.0)


class Disturber:
    """All that goes wrong in a run."""

    def __init__(
        self, cluster: Cluster, partition: Partition, hosts: list[Host], strace: Path, seed: int
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.deaths: list[Death] = []
        self.problems: list[BaseException] = []
        self._cluster = cluster
        self._partition = partition
        self._hosts = hosts
        self._strace = strace
        self._seed = seed
        self._end = threading.Event()

    def happen(self, seconds: float) -> None:
        """Let things happen for so long, and end with all mended."""
        timer = threading.Timer(seconds, self._end.set)
        other = threading.Thread(target=self._draw, args=(self._for_machines(), self._seed + 1))
        timer.start()
        other.start()
        # Here, for the members that are started anew end with the thread that started them.
        self._draw(self._for_members(), self._seed)
        timer.join()
        other.join()
        self._cluster.wait()

    def _draw(self, faults: dict[str, Callable[[random.Random], None]], seed: int) -> None:
        """Let each kind happen once, in an order drawn by chance, and again."""
        chance = random.Random(seed)  # noqa: S311  chance, not a secret
        try:
            while not self._end.is_set():
                for kind in chance.sample(sorted(faults), len(faults)):
                    if self._end.is_set():
                        break
                    faults[kind](chance)
                    self.counts[kind] += 1
                    self._end.wait(0.3)  # so that something is done between two faults
        except BaseException as error:  # noqa: BLE001  whoever runs this shows it
            self.problems.append(error)

    def _for_members(self) -> dict[str, Callable[[random.Random], None]]:
        return {
            "member killed": self._kill,
            "member stopped": self._freeze,
            "member's disk stuck": self._stick,
            "member cut off": self._isolate,
            "two members parted": self._part,
            "answers lost": self._lose_answers,
        }

    def _for_machines(self) -> dict[str, Callable[[random.Random], None]]:
        return {
            "agent paused": self._pause,
            "agent killed": self._kill_agent,
            "machine died": self._die,
            "machine cut off": self._cut_off,
            "machine's answers late": self._answer_late,
            "doors to one member shut": self._shut_doors,
        }

    def _victim(self, chance: random.Random) -> Member:
        """Choose the leader every other time."""
        leader = self._cluster.leader()
        return leader if chance.random() < 0.5 else chance.choice(self._cluster.members)

    def _kill(self, chance: random.Random) -> None:
        member = self._victim(chance)
        member.kill()
        self._end.wait(chance.uniform(0.1, 2.0))
        self._cluster.start(member)
        self._cluster.wait()

    def _freeze(self, chance: random.Random) -> None:
        member = self._victim(chance)
        member.send(signal.SIGSTOP)
        self._end.wait(chance.uniform(0.5, 4.0))
        member.send(signal.SIGCONT)

    def _stick(self, chance: random.Random) -> None:
        with stuck_disk(self._strace, self._victim(chance)):
            self._end.wait(chance.uniform(3.0, STUCK_S))

    def _isolate(self, chance: random.Random) -> None:
        member = self._victim(chance)
        number = self._cluster.members.index(member)
        lines = self._partition.around(member)
        if chance.random() < 0.5:  # from all clients, too
            lines += [host.doors[number].line for host in self._hosts]
        for line in lines:
            line.cut()
        self._end.wait(chance.uniform(1.0, 6.0))
        for line in lines:
            line.mend()

    def _part(self, chance: random.Random) -> None:
        one = self._victim(chance)
        other = chance.choice([each for each in self._cluster.members if each is not one])
        line = self._partition.between(one, other)
        line.cut()
        self._end.wait(chance.uniform(1.0, 6.0))
        line.mend()

    def _lose_answers(self, chance: random.Random) -> None:
        doors = [door for host in self._hosts for door in host.doors]
        for door in doors:
            door.lose_answers = 0.1
        self._end.wait(chance.uniform(0.5, 2.0))
        for door in doors:
            door.lose_answers = 0.0

    def _pause(self, chance: random.Random) -> None:
        host = chance.choice(self._hosts)
        host.running.clear()
        self._end.wait(chance.uniform(1.0, 12.0))
        host.running.set()

    def _kill_agent(self, chance: random.Random) -> None:
        chance.choice(self._hosts).kill_agent()

    def _die(self, chance: random.Random) -> None:
        # one that holds something, if there is one: that is the one that is missed
        holding = [host for host in self._hosts if host.held] or self._hosts
        host = chance.choice(holding)
        held = tuple(host.held.items())
        at_s = host.die()
        self.deaths.append(Death(host.name, held, at_s))
        self._end.wait(chance.uniform(12.0, 14.0))
        host.boot()

    def _cut_off(self, chance: random.Random) -> None:
        host = chance.choice(self._hosts)
        for door in host.doors:
            door.line.cut()
        self._end.wait(chance.uniform(1.0, 9.0))
        for door in host.doors:
            door.line.mend()

    def _answer_late(self, chance: random.Random) -> None:
        host = chance.choice(self._hosts)
        for door in host.doors:
            door.line.answers.clear()
        self._end.wait(chance.uniform(0.5, 4.0))
        for door in host.doors:
            door.line.answers.set()

    def _shut_doors(self, chance: random.Random) -> None:
        number = chance.randrange(len(self._cluster.members))
        for host in self._hosts:
            host.doors[number].line.cut()
        self._end.wait(chance.uniform(1.0, 4.0))
        for host in self._hosts:
            host.doors[number].line.mend()
