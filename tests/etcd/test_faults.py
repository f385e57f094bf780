"""A cluster that loses members, freezes them and swallows answers, under nodes that go on working.

For longer runs: VOLPLUG_TEST_FAULTS_S=600 pytest -s tests/etcd/test_faults.py
"""

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.etcd.cluster import Cluster, Member
from tests.etcd.history import (
    Tenure,
    assert_answers_are_true,
    assert_applied_once,
    assert_exclusive,
    assert_in_real_time_order,
    read_history,
)
from tests.etcd.linearizable import assert_linearizable
from tests.etcd.proxy import Proxy
from volplug.catalog import Record
from volplug.deadline import deadline
from volplug.errors import DeadlineExceeded, HeldElsewhere, Unavailable
from volplug.etcd import Access, EtcdStore
from volplug.etcd.access import Endpoint
from volplug.etcd.keys import Keys
from volplug.etcd.sequencer import Applied, Sequencer
from volplug.etcd.wire import Reply
from volplug.lease import LeaseTable
from volplug.session import Session
from volplug.volume import AccessMode

SECONDS = float(os.environ.get("VOLPLUG_TEST_FAULTS_S", "20"))
PREFIX = "/faults"
KEYS = Keys(PREFIX)
_MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
VOLUMES = ("data", "logs")
PATIENCES_S = (0.3, 8.0)  # who gives up early leaves a change in doubt, which the next one settles
_NUMBERS = itertools.count(1)


class Worker:
    """A node that takes and leaves volumes as fast as it can, and writes down what it was told."""

    def __init__(self, name: str, access: Access, seed: int) -> None:
        self.name = name
        self.tenures: list[Tenure] = []
        self.outcomes: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self.problems: list[BaseException] = []
        self._store = EtcdStore(access, prefix=PREFIX)
        self._leases = self._store.leases(
            Session(name, f"boot of {name}", f"machine of {name}", f"life {next(_NUMBERS)}")
        )
        self._catalog = self._store.catalog(self._leases)
        self._random = random.Random(seed)  # noqa: S311  chance, not a secret
        self._end = threading.Event()
        self._asked_s: dict[str, float] = {}
        self._alone = {volume: threading.Lock() for volume in VOLUMES}  # as operations.py has it
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._use, self._use, self._renew, self._name)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End, and wait for that."""
        self._end.set()
        for thread in self._threads:
            thread.join(60)
        self._store.close()

    def _guarded(self, work: Callable[[LeaseTable], None]) -> None:
        try:
            while not self._end.is_set():
                work(self._leases)
        except BaseException as error:  # noqa: BLE001  the test shows it
            self.problems.append(error)

    def _renew(self, leases: LeaseTable) -> None:
        if self._asked(leases.renew, "renewed"):
            self._end.wait(0.2)

    def _use(self, leases: LeaseTable) -> None:
        volume = self._random.choice(VOLUMES)
        with self._alone[volume]:
            self._take_and_leave(leases, volume)

    def _name(self, _: LeaseTable) -> None:
        """Try to be the one whose record has the next name."""
        name = f"name-{len(self.names)}"
        record = Record(name, "gold", AccessMode.SHARED, {}, _MADE_AT, handle=self.name)
        try:
            with deadline(self._random.choice(PATIENCES_S)):
                self.names[name] = "mine" if self._catalog.add(record) else "taken"
        except (Unavailable, DeadlineExceeded):
            self.names[name] = "in doubt"
        self._end.wait(0.05)

    def _take_and_leave(self, leases: LeaseTable, volume: str) -> None:
        # What was asked for in vain may have been granted: then it is this lease that we are given.
        asked_s = self._asked_s.setdefault(volume, time.monotonic())
        try:
            with deadline(self._random.choice(PATIENCES_S)):
                lease = leases.acquire(volume, AccessMode.SINGLE_WRITER)
        except HeldElsewhere:
            del self._asked_s[volume]
            self.outcomes["barred"] += 1
            self._end.wait(0.01)
            return
        except (Unavailable, DeadlineExceeded):
            self.outcomes["in doubt"] += 1
            return
        granted_s = time.monotonic()
        del self._asked_s[volume]
        self.outcomes["granted"] += 1
        self._end.wait(self._random.uniform(0, 0.02))
        tenure = Tenure(volume, self.name, lease.token, asked_s, granted_s, time.monotonic())
        self.tenures.append(tenure)
        while not self._asked(lambda: leases.release(lease), "released"):
            pass

    def _asked(self, verb: Callable[[], None], outcome: str) -> bool:
        try:
            with deadline(self._random.choice(PATIENCES_S)):
                verb()
        except (Unavailable, DeadlineExceeded):
            self.outcomes["in doubt"] += 1
            return False
        self.outcomes[outcome] += 1
        return True


class Faults:
    """What happens to the cluster, one thing at a time, so that a majority is always there."""

    def __init__(self, cluster: Cluster, proxies: list[Proxy], seed: int) -> None:
        self._cluster = cluster
        self._proxies = proxies
        self._random = random.Random(seed)  # noqa: S311  chance, not a secret
        self.counts: Counter[str] = Counter()

    def happen(self, until_s: float) -> None:
        """Let things happen until then, and end with a healthy cluster."""
        kinds = (self._kill, self._freeze, self._lose_answers, self._lose_requests)
        for kind in itertools.cycle(kinds):
            if time.monotonic() > until_s:
                break
            kind()
            time.sleep(0.3)  # so that something is done between two faults
        self._cluster.wait()

    def _victim(self) -> Member:
        """Choose the leader every other time."""
        leader = self._cluster.leader()
        return leader if self._random.random() < 0.5 else self._random.choice(self._cluster.members)

    def _kill(self) -> None:
        member = self._victim()
        member.kill()
        time.sleep(self._random.uniform(0.1, 1.5))
        self._cluster.start(member)
        self._cluster.wait()
        self.counts["killed"] += 1

    def _freeze(self) -> None:
        member = self._victim()
        member.send(signal.SIGSTOP)
        time.sleep(self._random.uniform(0.5, 3.0))
        member.send(signal.SIGCONT)
        self.counts["frozen"] += 1

    def _lose_answers(self) -> None:
        for proxy in self._proxies:
            proxy.lose_answers = 0.1
        time.sleep(1.0)
        for proxy in self._proxies:
            proxy.lose_answers = 0.0
        self.counts["lossy"] += 1

    def _lose_requests(self) -> None:
        door = self._random.choice(self._proxies)
        door.lose_requests = 0.3
        time.sleep(1.0)
        door.lose_requests = 0.0
        self.counts["lossy"] += 1


def assert_names_are_one_nodes(records: list[Record], workers: list[Worker]) -> int:
    """Every record is that of the one node that was told so, or that is in doubt; count them."""
    for record in records:
        told = {worker.name: worker.names.get(record.name) for worker in workers}
        assert told.pop(record.handle) in ("mine", "in doubt"), record
        assert "mine" not in told.values(), record
    known = {record.name for record in records}
    for worker in workers:
        for name, answer in worker.names.items():
            assert name in known or answer == "in doubt", f"{name} was answered for, and is gone"
    return len(records)


@pytest.fixture
def own_cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    """A cluster that nobody else uses, for it will be disturbed."""
    cluster = make_cluster()
    cluster.wait()
    return cluster


@pytest.fixture
def proxies(own_cluster: Cluster) -> Iterator[list[Proxy]]:
    """A door to each member."""
    proxies = [Proxy(each.client_port, seed) for seed, each in enumerate(own_cluster.members)]
    yield proxies
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What the failed comparisons came to: a copy of ours had been applied, or something else."""
    settled: Counter[str] = Counter()
    settle = Sequencer._settle

    def counted(self: Sequencer, op: str, reply: Reply, base_s: float) -> Applied | None:
        applied = settle(self, op, reply, base_s)
        settled["by an earlier copy" if applied else "refused"] += 1
        return applied

    monkeypatch.setattr(Sequencer, "_settle", counted)
    return settled


@pytest.mark.timeout(SECONDS * 2 + 120)
def test_every_change_is_made_once(
    own_cluster: Cluster, proxies: list[Proxy], settled: Counter[str]
) -> None:
    """Whatever happens to the cluster: no double change, no token twice, no two holders.

    And what was told was true, in the order of real time.
    """
    access = replace(
        own_cluster.access,
        endpoints=tuple(Endpoint("http", "127.0.0.1", proxy.port) for proxy in proxies),
    )
    workers = [Worker(name, access, seed) for seed, name in enumerate("abc")]
    faults = Faults(own_cluster, proxies, seed=1)
    for worker in workers:
        worker.start()
    try:
        faults.happen(time.monotonic() + SECONDS)
    finally:
        for worker in workers:
            worker.end()
    assert [worker.problems for worker in workers] == [[], [], []]
    tenures = [each for worker in workers for each in worker.tenures]
    last = EtcdStore(own_cluster.access, prefix=PREFIX)
    names = assert_names_are_one_nodes(last.catalog().records(), workers)
    history = read_history(own_cluster.members[0], PREFIX)
    last.close()
    assert_applied_once(history, KEYS)
    assert_answers_are_true(history, KEYS, tenures)
    assert_exclusive(history, KEYS, tenures)
    in_order = assert_in_real_time_order(tenures)
    assert_linearizable(tenures)
    outcomes = sum((worker.outcomes for worker in workers), Counter())
    swallowed = sum(proxy.swallowed for proxy in proxies)
    print(  # noqa: T201  the counts are asked for
        f"{SECONDS:.0f} s, faults {dict(faults.counts)}, {swallowed} answers or requests swallowed,"
        f" {len(history.ops(KEYS))} changes, outcomes {dict(outcomes)}, failed comparisons"
        f" {dict(settled)}, {in_order} grants in order,"
        f" {names} names"
    )
    assert swallowed > 0
    assert outcomes["in doubt"] > 0
    assert faults.counts["killed"] > 0
    assert faults.counts["frozen"] > 0
    assert in_order > 50
