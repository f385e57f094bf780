"""A run of machines that write under leases while everything goes wrong, and what it comes to.

What was done is judged by what the storage and the store kept, not by what anybody believed.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.etcd.cluster import Cluster
from tests.etcd.disturber import Death, Disturber
from tests.etcd.history import (
    History,
    Tenure,
    assert_answers_are_true,
    assert_applied_once,
    assert_exclusive,
    assert_in_real_time_order,
    read_history,
)
from tests.etcd.hosts import Host
from tests.etcd.ledger import Entry, Ledger, boottime_s
from tests.etcd.life import PREFIX, Profile
from tests.etcd.partition import Partition
from volplug.etcd.keys import Keys
from volplug.etcd.sequencer import Applied, Sequencer
from volplug.etcd.wire import Reply
from volplug.session import silence_s

KEYS = Keys(PREFIX)
SPARE_S = 5.0
"""How much later than after the silence W a dead machine's volume may be granted."""


@dataclass
class Run:
    """What a run has left."""

    faults: Counter[str]
    ledgers: dict[str, list[Entry]]
    tenures: list[Tenure]
    counts: Counter[str]
    settled: Counter[str]
    deaths: list[Death]
    troubles_s: dict[str, list[tuple[float, float]]]
    history: History
    hold_ms: int
    ended_s: float
    problems: list[BaseException] = field(default_factory=list)

    @property
    def writes(self) -> int:
        """How many writes were admitted."""
        return sum(map(len, self.ledgers.values()))

    def stale(self) -> list[str]:
        """Return the writes that should have been none."""
        return stale_writes(self.ledgers, self.tenures)

    def takeovers_s(self) -> list[float]:
        """Return how long after a machine's death its volumes were granted to another.

        Where a machine that was alive had been answered all the time; without end if none was.
        """
        return [
            min((each.granted_s for each in self._after(volume, token)), default=float("inf"))
            - death.at_s
            for death in self.deaths
            if self._heard(death) and self._limit_s(death) < self.ended_s
            for volume, token in death.held
        ]

    def check(self) -> None:
        """Raise AssertionError unless the run was as leases promise."""
        assert not self.problems, self.problems
        assert not (stale := self.stale()), f"{len(stale)} stale writes, first: {stale[0]}"
        assert_applied_once(self.history, KEYS)
        assert_answers_are_true(self.history, KEYS, self.tenures)
        assert_exclusive(self.history, KEYS, self.as_written())
        assert_in_real_time_order(self.tenures)

    def as_written(self) -> list[Tenure]:
        """Return the tenures as the storage saw them: each ends with its last write."""
        last_s = {
            (volume, entry.token): entry.at_s
            for volume, entries in self.ledgers.items()
            for entry in entries
        }
        return [
            replace(each, left_s=last_s.get((each.volume, each.token), each.granted_s))
            for each in self.tenures
        ]

    def _after(self, volume: str, token: int) -> list[Tenure]:
        return [each for each in self.tenures if each.volume == volume and each.token > token]

    def _limit_s(self, death: Death) -> float:
        return death.at_s + silence_s(self.hold_ms) + SPARE_S

    def _heard(self, death: Death) -> bool:
        """Say whether any other machine was answered from the death until the limit."""
        until_s = self._limit_s(death)
        return any(
            all(end_s < death.at_s or began_s > until_s for began_s, end_s in troubles_s)
            for host, troubles_s in self.troubles_s.items()
            if host != death.host
        )


def stale_writes(ledgers: dict[str, list[Entry]], tenures: list[Tenure]) -> list[str]:
    """Return the writes under a token after a later one had written, or had been granted."""
    return [
        words
        for volume, entries in ledgers.items()
        for words in _stale(volume, entries, [one for one in tenures if one.volume == volume])
    ]


def _stale(volume: str, entries: list[Entry], tenures: list[Tenure]) -> Iterator[str]:
    over_s: dict[int, float] = {}  # by token: when a later one was granted
    soonest_s = float("inf")
    for each in sorted(tenures, key=lambda one: one.token, reverse=True):
        over_s[each.token] = soonest_s
        soonest_s = min(soonest_s, each.granted_s)
    newest = 0
    for entry in entries:
        if entry.token < newest:
            yield f"{volume}: {entry} after one of token {newest}"
        elif entry.at_s > over_s[entry.token]:
            yield f"{volume}: {entry} after a later grant, at {over_s[entry.token]}"
        newest = max(newest, entry.token)


def run(
    program: Path,
    strace: Path,
    directory: Path,
    *,
    seconds: float,
    seed: int,
    profile: Profile | None = None,
) -> Run:
    """Run three machines and two volumes on a cluster of their own, and return what it left."""
    (directory / "etcd").mkdir()
    cluster = Cluster(program, directory / "etcd")
    partition = Partition(cluster)
    try:
        cluster.start()
        cluster.wait()
        with _counted() as settled, _machines(cluster, directory, profile, seed) as machines:
            hosts, ledgers = machines
            disturber = Disturber(cluster, partition, hosts, strace, seed)
            disturber.happen(seconds)
            ended_s = boottime_s()
            for host in hosts:
                host.end()
            return _found(cluster, hosts, ledgers, disturber, settled=settled, ended_s=ended_s)
    finally:
        partition.close()
        cluster.stop()


@contextmanager
def _machines(
    cluster: Cluster, directory: Path, profile: Profile | None, seed: int
) -> Iterator[tuple[list[Host], list[Ledger]]]:
    ledgers = [
        Ledger(directory / "timed", fences=False),
        Ledger(directory / "fenced", fences=True),
    ]
    ports = [member.client_port for member in cluster.members]
    hosts = [
        Host(name, ports, ledgers, profile or Profile(), seed + number)
        for number, name in enumerate("abc")
    ]
    for host in hosts:
        host.start()
    try:
        yield hosts, ledgers
    finally:
        for host in hosts:
            host.end()
        for ledger in ledgers:
            ledger.close()


def _found(
    cluster: Cluster,
    hosts: list[Host],
    ledgers: list[Ledger],
    disturber: Disturber,
    *,
    settled: Counter[str],
    ended_s: float,
) -> Run:
    tenures = [each for host in hosts for each in host.record.tenures.values()]
    return Run(
        faults=disturber.counts,
        ledgers={each.volume: each.entries() for each in ledgers},
        tenures=tenures,
        counts=sum((host.record.counts for host in hosts), Counter()),
        settled=settled,
        deaths=disturber.deaths,
        troubles_s={host.name: host.record.troubles_s for host in hosts},
        history=read_history(cluster.members[0], PREFIX),
        hold_ms=hosts[0].profile.hold_ms,
        ended_s=ended_s,
        problems=[*disturber.problems, *(one for host in hosts for one in host.record.problems)],
    )


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    """Count what failed comparisons came to: a copy of ours had been applied, or something else."""
    settled: Counter[str] = Counter()
    settle = Sequencer._settle

    def counted(self: Sequencer, op: str, reply: Reply, base_s: float) -> Applied | None:
        applied = settle(self, op, reply, base_s)
        settled["by an earlier copy" if applied else "refused"] += 1
        return applied

    Sequencer._settle = counted  # type: ignore[method-assign]
    try:
        yield settled
    finally:
        Sequencer._settle = settle  # type: ignore[method-assign]
