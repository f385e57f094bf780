"""Who may be a node, what ends its session, and what becomes of its leases then."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.etcd.cluster import Cluster
from volplug.errors import HeldElsewhere, HostError, Unavailable
from volplug.etcd import EtcdStore, Home
from volplug.etcd.client import Client
from volplug.etcd.keys import Keys
from volplug.etcd.leases import EtcdLeases
from volplug.etcd.sequencer import Applied
from volplug.etcd.wire import Reply, below
from volplug.lease import LeaseState
from volplug.session import HOLD_MS, Session, silence_s
from volplug.testing import FakeClock
from volplug.volume import AccessMode

_ALONE = AccessMode.SINGLE_WRITER
_W = silence_s(HOLD_MS)

Start = Callable[..., EtcdLeases]


@pytest.fixture
def clock() -> FakeClock:
    """The clock that all nodes go by."""
    return FakeClock()


@pytest.fixture
def start(cluster: Cluster, prefix: str, tmp_path: Path, clock: FakeClock) -> Iterator[Start]:
    """Start a node's volplug, with a state directory of its own, and return its leases."""
    stores: list[EtcdStore] = []

    def start(
        node: str, *, machine: str = "", boot: str = "boot-1", state: str = "", life: str = "1"
    ) -> EtcdLeases:
        state_dir = tmp_path / (state or node)
        state_dir.mkdir(exist_ok=True)
        home = Home(state_dir, machine, machine_id_file=tmp_path / "none")
        store = EtcdStore(cluster.access, prefix=prefix, home=home)
        stores.append(store)
        leases = store.leases(Session(node, boot, machine, life), clock, clock.utc)
        assert isinstance(leases, EtcdLeases)
        return leases

    yield start
    for store in stores:
        store.close()


def test_a_twin_with_another_state_directory_is_refused(
    start: Start, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no hardware tells machines apart, a living session of the name is seen to change."""
    first = start("a")
    sleep = clock.sleep

    def renewing_sleep(seconds: float) -> None:
        sleep(seconds)
        first.renew()

    monkeypatch.setattr(clock, "sleep", renewing_sleep)
    with pytest.raises(HostError, match="'a' is already run by another volplug"):
        start("a", state="another", boot="boot-2")
    first.renew()


def test_a_lost_state_directory_is_replaced_after_w(start: Start, clock: FakeClock) -> None:
    """A new state directory for the old name waits until the old one is silent; leases stay."""
    lease = start("a").acquire("data", _ALONE)
    before_s = clock.now()
    second = start("a", state="another", boot="boot-2")
    assert clock.now() - before_s >= _W
    with pytest.raises(HeldElsewhere, match="'a'"):
        second.acquire("data", _ALONE)
    assert second.leases() == [lease]


def test_the_same_state_directory_goes_on_at_once(start: Start, clock: FakeClock) -> None:
    """A restarted volplug adopts its session without any wait."""
    lease = start("a").acquire("data", _ALONE)
    before_s = clock.now()
    again = start("a", life="2")
    assert again.mine("data") == lease
    assert clock.now() == before_s


def test_another_machine_is_refused(start: Start) -> None:
    """Two machines of known hardware and one name: the second is refused, and told what to do."""
    start("a", machine="hw-1")
    with pytest.raises(HostError, match="give one of them another node name"):
        start("a", machine="hw-2", state="another")


def test_condemned_for_silence_ends_the_session(start: Start, clock: FakeClock) -> None:
    """Who was condemned as lapsed learns it at its next word, and begins anew with what is left."""
    a, b = start("a"), start("b")
    a.acquire("data", _ALONE)
    kept = a.acquire("logs", _ALONE)
    b.leases()
    clock.sleep(_W)
    (lapsed, _) = b.leases()
    b.condemn(lapsed, by="alice", reason="off")
    assert [lease.state for lease in b.leases()] == [LeaseState.CONDEMNED, LeaseState.LAPSED]
    assert [lease.state for lease in start("c").leases()] == [
        LeaseState.CONDEMNED,
        LeaseState.LAPSED,
    ], "who was watched for W once need not be watched again"
    verbs: list[Callable[[], object]] = [
        a.renew,
        lambda: a.mine("logs"),
        lambda: a.acquire("media", _ALONE),
    ]
    for verb in verbs:
        with pytest.raises(HostError, match="taken over"):
            verb()
    again = start("a", life="2")
    assert again.mine("logs") == kept
    assert b.acquire("data", _ALONE).token > lapsed.token
    assert again.mine("data") is None


def test_refusal_says_since_when_an_expired_holder_is_silent(
    start: Start, clock: FakeClock
) -> None:
    """The moment of its last sign stays the same when its session has been ended since."""
    a, b = start("a"), start("b")
    a.acquire("data", _ALONE)
    a.acquire("logs", _ALONE)
    b.leases()
    clock.sleep(_W)
    b.condemn(b.leases()[0], by="alice", reason="off")
    clock.sleep(60)
    with pytest.raises(HeldElsewhere, match="silent since 2024-01-01 00:00:00 UTC"):
        start("c").acquire("logs", _ALONE)


def test_a_holder_that_is_back_is_not_condemned_for_silence(start: Start, clock: FakeClock) -> None:
    """What was lapsed when somebody looked is not condemned if its holder has spoken since."""
    a, b = start("a"), start("b")
    a.acquire("data", _ALONE)
    b.leases()
    clock.sleep(_W)
    (lapsed,) = b.leases()
    a.renew()
    with pytest.raises(HeldElsewhere, match=r"\(live\)"):
        b.condemn(lapsed, by="alice", reason="off")
    assert b.condemnations() == []
    a.renew()


def test_a_holder_that_speaks_at_the_last_moment_is_not_ended(
    start: Start, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal between the look and the change that ends the session wins (I9)."""
    a, b = start("a"), start("b")
    a.acquire("data", _ALONE)
    b.leases()
    clock.sleep(_W)
    (lapsed,) = b.leases()
    mutate = b._sequencer.mutate

    def late(*words: Any, **more: Any) -> Applied | None:
        a.renew()
        return mutate(*words, **more)

    monkeypatch.setattr(b._sequencer, "mutate", late)
    with pytest.raises(HeldElsewhere, match=r"\(live\)"):
        b.condemn(lapsed, by="alice", reason="off")
    a.renew()
    assert b.condemnations() == []


def test_a_grant_that_comes_too_late_is_not_used(
    start: Start, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer older than the holder may write is refused; the lease is found by a retry (I10)."""
    a = start("a")
    sequencer = a._sequencer
    txn = sequencer._client.txn

    def slow(*words: Any, **more: Any) -> Reply:
        clock.sleep(HOLD_MS / 1000 * 0.75)
        return txn(*words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(sequencer._client, "txn", slow)
        with pytest.raises(Unavailable, match="too late"):
            a.acquire("data", _ALONE)
    assert a.acquire("data", _ALONE) == a.mine("data")


def test_void_leases_are_swept(prefix: str, start: Start) -> None:
    """What a reboot has voided is removed, by its own node, and by whoever leases the volume."""
    for volume in ("data", "logs"):
        start("a", machine="hw-a").acquire(volume, _ALONE)
    rebooted = start("a", machine="hw-a", boot="boot-2")
    assert rebooted.leases() == []
    b = start("b")
    b.acquire("data", _ALONE)
    keys = Keys(prefix)
    client = b._client
    assert _keys_below(client, keys) == [keys.lease("data", "b", 1), keys.lease("logs", "a", 1)]
    rebooted.sweep()
    assert _keys_below(client, keys) == [keys.lease("data", "b", 1)]


def test_any_node_name_can_be_a_key(start: Start) -> None:
    """Slashes, percent signs and what is not ASCII are no trouble in a node's name."""
    names = ["a/b", "a", "a%2Fb", "räck-1"]
    tables = [start(name, state=f"state-{number}") for number, name in enumerate(names)]
    for table in tables:
        table.acquire("data", AccessMode.SHARED)
    assert [lease.node for lease in tables[0].leases("data")] == names


def test_only_the_lowest_living_node_does_upkeep(start: Start, clock: FakeClock) -> None:
    """One node of those that are alive looks after the store; the next one once it is silent."""
    b, a = start("b"), start("a")
    assert (a.is_lowest(), b.is_lowest()) == (True, False)
    clock.sleep(_W)
    b.renew()
    assert b.is_lowest()


def _keys_below(client: Client, keys: Keys) -> list[str]:
    found = client.txn("the leases", then=[below(keys.leases())]).ranges[0]
    return sorted(each.key for each in found)


def test_a_renewal_counts_from_its_first_sending(
    start: Start, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers take their time, and some are lost: that time is not the holder's (leases.md 2.8)."""
    leases = start("a")
    assert leases.renewed_s() == clock.now()
    sent_s = clock.now()
    real = Client.txn

    def slowly(self: Client, awaited: str, **words: Any) -> Reply:
        reply = real(self, awaited, **words)
        clock.sleep(5.0)
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(Client, "txn", slowly)
        leases.renew()
    assert leases.renewed_s() == sent_s

    def in_vain(*_: Any, **__: Any) -> Reply:
        raise Unavailable("nobody answers")

    clock.sleep(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(Client, "txn", in_vain)
        with pytest.raises(Unavailable):
            leases.renew()
    assert leases.renewed_s() == sent_s
    clock.sleep(1.0)
    leases.acquire("data", _ALONE)
    assert leases.renewed_s() == clock.now()
