"""A volume's record and its leases exclude each other, whatever nodes do at the same moment."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.etcd.cluster import Cluster
from volplug.catalog import Catalog, Record, RecordState
from volplug.errors import Busy, VolumeInUse
from volplug.etcd import EtcdStore
from volplug.etcd.keys import Keys
from volplug.etcd.meta import begin_epoch
from volplug.etcd.upkeep import sweep_volumes
from volplug.etcd.wire import Reply, below
from volplug.session import HOLD_MS, Session, silence_s
from volplug.testing import FakeClock
from volplug.volume import AccessMode

_ALONE = AccessMode.SINGLE_WRITER
_RECORD = Record("data", "gold", _ALONE, {}, datetime(2026, 1, 1, tzinfo=UTC), handle="h")
_READY = replace(_RECORD, state=RecordState.READY)
_DELETING = replace(_RECORD, state=RecordState.DELETING)
_ROUNDS = 40


@pytest.fixture
def store(cluster: Cluster, prefix: str) -> Iterator[EtcdStore]:
    """An empty store."""
    store = EtcdStore(cluster.access, prefix=prefix)
    yield store
    store.close()


def _session(node: str) -> Session:
    return Session(node, "boot-1", f"machine of {node}", "instance-1")


def test_a_leased_volume_cannot_begin_to_be_deleted(store: EtcdStore) -> None:
    """The sentence names the holder; the record stays as it was, and other changes are free."""
    catalog, leases = store.catalog(), store.leases(_session("a"))
    catalog.add(_READY)
    lease = leases.acquire("data", _ALONE)
    with pytest.raises(VolumeInUse, match="in use on node 'a' since"):
        catalog.replace(_DELETING)
    assert catalog.get("data") == _READY
    catalog.replace(replace(_READY, options={"size": "2G"}))
    leases.release(lease)
    catalog.replace(_DELETING)


def test_a_volume_that_is_being_deleted_cannot_be_leased(store: EtcdStore) -> None:
    """Until its name is free again, or taken anew."""
    catalog, leases = store.catalog(), store.leases(_session("a"))
    catalog.add(_READY)
    catalog.replace(_DELETING)
    with pytest.raises(Busy, match="'data' is being deleted"):
        leases.acquire("data", _ALONE)
    assert leases.leases() == []
    catalog.remove("data")
    assert catalog.add(_READY)
    assert leases.acquire("data", _ALONE).node == "a"


def test_leasing_and_deleting_at_once(store: EtcdStore) -> None:
    """Of a lease on one node and a deletion on another at the same moment exactly one succeeds."""
    other = store.leases(_session("a"))
    won: list[str] = []
    for number in range(_ROUNDS):
        name = f"volume-{number}"
        ready = replace(_READY, name=name)
        store.catalog().add(ready)
        start = threading.Barrier(2)

        def attempt(
            verb: Callable[[], object], word: str, start: threading.Barrier = start
        ) -> None:
            start.wait()
            try:
                verb()
            except (Busy, VolumeInUse):
                return
            won.append(word)

        deletion = replace(ready, state=RecordState.DELETING)
        threads = [
            threading.Thread(target=attempt, args=(verb, word))
            for verb, word in (
                (lambda name=name: other.acquire(name, _ALONE), "lease"),
                (lambda deletion=deletion: store.catalog().replace(deletion), "deletion"),
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == number + 1, won[number:]
    assert {"lease", "deletion"} == set(won), "the race was none"


def test_a_node_of_before_does_not_forget_a_new_volume(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal that lost its answer, and whose name is taken again since, removes nothing."""
    catalog = store.catalog()
    catalog.add(_DELETING)
    client = store._client
    txn = client.txn
    lost: list[str] = []

    def lose_the_first_answer(*words: Any, **more: Any) -> Reply:
        reply = txn(*words, **more)
        if more.get("when") and not lost:
            lost.append("answer")
            txn(*words, **more)
            catalog.add(replace(_READY, created_at=datetime(2026, 1, 2, tzinfo=UTC)))
            return txn(*words, **more)
        return reply

    monkeypatch.setattr(client, "txn", lose_the_first_answer)
    catalog.remove("data")
    found = catalog.get("data")
    assert found is not None
    assert found.created_at.day == 2


@pytest.fixture
def clock() -> FakeClock:
    """The clock that all nodes go by."""
    return FakeClock()


@pytest.fixture
def catalogs(store: EtcdStore, clock: FakeClock) -> list[Catalog]:
    """The catalog as two nodes have it."""
    tables = [store.leases(_session(node), clock, clock.utc) for node in "ab"]
    return [store.catalog(table) for table in tables]


def test_one_node_works_on_a_volume(catalogs: list[Catalog]) -> None:
    """What one node makes or deletes, another one does not; once it is done, it may."""
    a, b = catalogs
    changes: list[Callable[[], object]] = [
        lambda: b.claim("data"),
        lambda: b.replace(_READY),
        lambda: b.replace(_DELETING),
        lambda: b.remove("data"),
    ]
    for state in (_RECORD, _DELETING):
        a.add(_RECORD)
        a.replace(state)
        for change in changes:
            with pytest.raises(Busy, match=f"'data' is {state.state} on node 'a'"):
                change()
        assert b.get("data") == state
        a.claim("data")
        a.replace(_READY)
        b.claim("data")
        b.replace(_DELETING)
        with pytest.raises(Busy, match="'data' is deleting on node 'b'"):
            a.claim("data")
        b.remove("data")


def test_the_work_of_a_silent_node_is_taken_over(catalogs: list[Catalog], clock: FakeClock) -> None:
    """What a node has left half done another one finishes, once the first was silent for W."""
    a, b = catalogs
    a.add(_RECORD)
    with pytest.raises(Busy):
        b.claim("data")
    clock.sleep(silence_s(HOLD_MS))
    b.claim("data")
    assert b.get("data") == _RECORD
    b.replace(_READY)


def test_volumes_that_are_gone_are_swept_in_the_end(store: EtcdStore, prefix: str) -> None:
    """What has neither record nor lease leaves no key behind, once an epoch has passed over it."""
    client, keys, catalog = store._client, Keys(prefix), store.catalog()
    for name in ("gone", "kept", "leased", "recent"):
        catalog.add(replace(_READY, name=name))
    store.leases(_session("a")).acquire("leased", _ALONE)
    for name in ("gone", "leased"):
        catalog.remove(name)
    epoch = begin_epoch(client, keys)
    catalog.remove("recent")
    assert sweep_volumes(client, keys, older_than=epoch) == 1
    found = client.txn("the volumes", then=[below(keys.volumes)]).ranges[0]
    assert [each.key.removeprefix(keys.volumes) for each in found] == ["kept", "leased", "recent"]
    assert catalog.add(replace(_READY, name="gone"))


def test_a_late_copy_does_not_raise_the_dead(
    store: EtcdStore, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the request that added a volume, delayed until its key was swept, adds nothing."""
    client, keys, catalog = store._client, Keys(prefix), store.catalog()
    sent: list[dict[str, Any]] = []
    txn = client.txn

    def recorded(*words: Any, **more: Any) -> Reply:
        sent.append(more)
        return txn(*words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(client, "txn", recorded)
        catalog.add(_READY)
    catalog.remove("data")
    begin_epoch(client, keys)
    assert sweep_volumes(client, keys, older_than=client.revision() + 1) == 1
    (late,) = (each for each in sent if each.get("when"))
    assert not txn("a late copy", **late).succeeded
    assert catalog.records() == []
