"""What a state directory remembers: whose it is, and how far the store had come."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.etcd.cluster import Cluster
from volplug.errors import HostError
from volplug.etcd import EtcdStore, Home
from volplug.etcd.store import declare_restored
from volplug.session import Session
from volplug.volume import AccessMode

MakeHome = Callable[..., Home]


@pytest.fixture
def home(tmp_path: Path) -> MakeHome:
    """Read the memory of a state directory, on a machine with these identities."""

    def read(machine_id: str = "m1", hardware_id: str = "hw1") -> Home:
        file = tmp_path / "machine-id"
        file.write_text(machine_id + "\n")
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        return Home(state, hardware_id, file)

    return read


def test_its_identity_stays(home: MakeHome, tmp_path: Path) -> None:
    """A state directory keeps the identity it was given first, and shows no machine's id."""
    first = home("secret machine id")
    assert home("secret machine id").id == first.id
    assert "secret" not in (tmp_path / "state" / "home.json").read_text()


@pytest.mark.parametrize(("machine", "hardware"), [("m2", "hw1"), ("m1", "hw2")])
def test_a_copied_directory_is_refused(home: MakeHome, machine: str, hardware: str) -> None:
    """Another machine is told so, and what to do in either case."""
    home()
    with pytest.raises(HostError, match="if it was copied, empty it here"):
        home(machine, hardware)


def test_what_nothing_tells_is_not_compared(home: MakeHome) -> None:
    """A container without machine id or hardware id is not refused for that."""
    first = home()
    assert home("", "").id == first.id


def test_a_damaged_memory_is_refused(home: MakeHome, tmp_path: Path) -> None:
    """What cannot be read is named, and not thrown away."""
    home()
    (tmp_path / "state" / "home.json").write_text("{")
    with pytest.raises(HostError, match=r"home\.json cannot be read"):
        home()


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (("store-1", "cluster-1", 100), ""),
        (("store-1", "cluster-1", 101), ""),
        (("store-2", "cluster-1", 100), "another store"),
        (("store-1", "cluster-2", 100), "made anew"),
        (("store-1", "cluster-1", 99), "at revision 99, and was at 100"),
    ],
)
def test_a_store_that_is_not_what_it_was(
    home: MakeHome, found: tuple[str, str, int], problem: str
) -> None:
    """After a restart, too, a store that was restored or exchanged is told from the one before."""
    home().note(store="store-1", cluster="cluster-1", revision=100, token_base=5)
    store, cluster, revision = found
    told = home().check(store=store, cluster=cluster, revision=revision)
    assert problem in told
    assert bool(told) == bool(problem)


def test_a_restored_store_is_refused_until_that_is_declared(
    cluster: Cluster, prefix: str, home: MakeHome
) -> None:
    """No lease is given on a store that went back; once that is declared, tokens go on above."""
    store = EtcdStore(cluster.access, prefix=prefix, home=home())
    store.close()
    newest = 10**6
    home().note(store=store.uuid(), cluster=store._client.cluster(), revision=newest, token_base=0)
    with pytest.raises(HostError, match="volplug store declare-restored"):
        EtcdStore(cluster.access, prefix=prefix, home=home())
    assert declare_restored(cluster.access, home(), prefix=prefix) == 2
    again = EtcdStore(cluster.access, prefix=prefix, home=home())
    assert again.generation() == 2
    lease = again.leases(Session("a", "boot-1", "", "1")).acquire("data", AccessMode.SHARED)
    assert lease.token > newest + 10**5, "it may have come further than was noted"
    again.close()


def test_a_store_knows_itself(cluster: Cluster, prefix: str) -> None:
    """Every node is told the same identity, and another prefix is another store."""
    stores = [EtcdStore(cluster.access, prefix=each) for each in (prefix, prefix, prefix + "x")]
    one, same, other = (store.uuid() for store in stores)
    assert one == same != other
    for store in stores:
        store.close()


def test_tokens_go_on_above_another_stores(cluster: Cluster, prefix: str) -> None:
    """What moves in from another store brings its tokens' height along; leases keep their own."""
    store = EtcdStore(cluster.access, prefix=prefix)
    leases = store.leases(Session("a", "boot-1", "", "1"))
    before = leases.acquire("data", AccessMode.SHARED)
    for height in (10**6, 10):
        store.raise_tokens(height)
    assert leases.mine("data") == before
    assert leases.acquire("logs", AccessMode.SHARED).token > 10**6
    store.close()
