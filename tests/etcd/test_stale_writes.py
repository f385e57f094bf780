"""Machines that write while members, disks, networks, agents and machines fail: nothing stale.

For longer runs: python -m bench.faults --minutes 60 --seed 7
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.etcd.cluster import Cluster
from tests.etcd.history import assert_applied_once, read_history
from tests.etcd.hosts import Host
from tests.etcd.ledger import Ledger
from tests.etcd.life import Profile
from tests.etcd.proxy import Proxy
from tests.etcd.writes import run, stale_writes
from tests.machine import need_program
from tests.sqlite.shelf import new_shelf
from volplug.deadline import deadline, wait_until
from volplug.errors import VolplugError
from volplug.etcd import Access, EtcdStore
from volplug.etcd.access import Endpoint
from volplug.etcd.keys import Keys
from volplug.etcd.wire import Words, unchanged
from volplug.session import Session
from volplug.volume import AccessMode

_SECONDS = 30.0
_HOLD_MS = 14_000
_LATE_S = 11.3
"""So late that a guard that counts from the answer writes on for longer than others wait (18.5 s),
and so early that it was not due to stop before it (after 14 s)."""


@pytest.fixture
def shelf() -> Path:
    """A directory on a disk, for /tmp may be memory."""
    return new_shelf()


@pytest.mark.timeout(300)
def test_nothing_stale_is_written(etcd_program: Path, shelf: Path) -> None:
    """No write after a later grant, no change made twice, and all in order.

    How soon the dead are replaced depends on the machine, too: bench/faults.py looks at that.
    """
    strace = need_program("strace", "strace")
    done = run(etcd_program, strace, shelf, seconds=_SECONDS, seed=3)
    done.check()
    assert len(done.faults) >= 6
    assert done.writes > 100
    assert len(done.tenures) >= 3


class _Mutant:
    """A machine whose guard counts from the answer; cut off as soon as one has come late."""

    def __init__(self) -> None:
        self.host: Host | None = None

    def base(self, sent_s: float, answered_s: float) -> float:
        """Return from when such a guard counts."""
        if answered_s - sent_s > _LATE_S / 2 and self.host is not None:
            for door in self.host.doors:
                door.line.cut()
        return answered_s


@pytest.fixture
def pair(
    cluster: Cluster, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Host, Host, Ledger]]:
    """A machine with a broken rule, another one, and a storage that refuses nobody."""
    monkeypatch.setattr("volplug.etcd.client.PATIENCE_S", 60.0)  # so that answers may be that late
    ledger = Ledger(shelf / "data", fences=False)
    ports = [member.client_port for member in cluster.members]
    mutant = _Mutant()
    broken = Profile(_HOLD_MS, patiences_s=(60.0,), holds_s=(600.0,), base=mutant.base)
    mutant.host = Host("mutant", ports, [ledger], broken, 1)
    other = Host("other", ports, [ledger], Profile(_HOLD_MS), 2)
    yield mutant.host, other, ledger
    for host in (mutant.host, other):
        host.end()
    ledger.close()


def _stale(hosts: list[Host], ledger: Ledger) -> list[str]:
    entries = ledger.entries()
    tenures = [each for host in hosts for each in list(host.record.tenures.values())]
    return stale_writes({ledger.volume: entries}, tenures)


@pytest.mark.timeout(200)
def test_a_guard_that_counts_from_the_answer_is_found(pair: tuple[Host, Host, Ledger]) -> None:
    """The check finds the stale writes of a machine that trusts an answer that came late."""
    broken, other, ledger = pair
    broken.start()
    with deadline(60.0):
        wait_until(lambda: bool(broken.held), "the mutant's grant")
    other.start()
    with deadline(60.0):
        wait_until(lambda: other.record.counts["barred"] > 0, "the other's look")
    for door in broken.doors:
        door.line.answers.clear()
    with suppress(VolplugError), deadline(_LATE_S):
        wait_until(lambda: False, "the answers to be late")
    for door in broken.doors:
        door.line.answers.set()
    with deadline(60.0):
        wait_until(lambda: bool(other.held), "the takeover", poll_s=0.02)
        wait_until(lambda: bool(_stale([broken, other], ledger)), "a stale write")


def test_changes_that_do_not_compare_the_session_are_found(
    cluster: Cluster, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check finds what was applied twice when a request is sent again after a lost answer."""

    def anything(_: str, __: int) -> Words:
        return unchanged(f"{prefix}/nothing", 0)

    monkeypatch.setattr("volplug.etcd.sequencer.unchanged", anything)
    doors = [Proxy(each.client_port, seed) for seed, each in enumerate(cluster.members)]
    access = Access(tuple(Endpoint("http", "127.0.0.1", door.port) for door in doors))
    store = EtcdStore(access, prefix=prefix)
    leases = store.leases(Session("a", "boot", "machine", "agent"))
    for door in doors:
        door.lose_answers = 0.4
    while sum(door.swallowed for door in doors) < 10:
        with suppress(VolplugError), deadline(10.0):
            leases.renew()
    for door in doors:
        door.lose_answers = 0.0
    leases.acquire("data", AccessMode.SINGLE_WRITER)
    store.close()
    for door in doors:
        door.close()
    history = read_history(cluster.members[0], prefix)
    with pytest.raises(AssertionError):
        assert_applied_once(history, Keys(prefix))
