"""The cluster as a client sees it: members that hang or are gone, users, certificates, its past."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.etcd.cluster import Cluster, Member, free_port
from tests.machine import need_program
from volplug.catalog import Record
from volplug.deadline import deadline, wait_until
from volplug.errors import AccessDenied, Exhausted, HostError, InvalidOptions, Unavailable
from volplug.etcd import Access, EtcdStore
from volplug.etcd.access import Endpoint
from volplug.etcd.client import Client
from volplug.etcd.keys import Keys
from volplug.etcd.upkeep import KEPT_REVISIONS, Upkeep, compact
from volplug.etcd.wire import get, put
from volplug.options import Secret
from volplug.session import HOLD_MS, Session, silence_s
from volplug.testing import FakeClock
from volplug.volume import AccessMode

MakeCluster = Callable[..., Cluster]

RECORD = Record(
    "data", "gold", AccessMode.SINGLE_WRITER, {}, datetime(2026, 1, 1, tzinfo=UTC), handle="h"
)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    """A client of the shared cluster."""
    client = Client(cluster.access)
    yield client
    client.close()


def ask(member: Member, path: str, **body: Any) -> dict[str, Any]:
    """Send a request of an etcd administrator, who waits: passwords take etcd a while to hash."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{member.url}/v3/{path}", json=body, timeout=60)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("http://etcd1:1", Endpoint("http", "etcd1", 1)),
        ("https://[fd00::1]", Endpoint("https", "fd00::1", 2379)),
        ("https://10.0.0.1:2379/", Endpoint("https", "10.0.0.1", 2379)),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint) -> None:
    """An address is read whatever form its host has, and the port can be left out."""
    assert Endpoint.parse(text) == endpoint
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize("text", ["etcd1:2379", "ftp://a", "http://", "http://a:x", "http://a/b"])
def test_what_is_no_endpoint(text: str) -> None:
    """An address that is none is refused, with an example."""
    with pytest.raises(InvalidOptions, match="wanted http://HOST:2379 or https://HOST:2379"):
        Endpoint.parse(text)


def test_a_dead_member_is_passed_by(cluster: Cluster) -> None:
    """A member that refuses connections costs next to nothing, and is not asked again."""
    dead = Endpoint("http", "127.0.0.1", free_port())
    client = Client(Access((dead, *cluster.access.endpoints)))
    began_s = time.monotonic()
    for _ in range(10):
        client.txn("a test", then=[get("/none")])
    assert time.monotonic() - began_s < 10.0
    client.close()


def test_a_frozen_member_is_left_within_seconds(make_cluster: MakeCluster) -> None:
    """A member that takes a request and never answers is left for the next one."""
    cluster = make_cluster()
    cluster.wait()
    client = Client(cluster.access)
    client.txn("a test", then=[put("/key", "1")])
    cluster.members[0].send(signal.SIGSTOP)
    began_s = time.monotonic()
    client.txn("a test", then=[put("/key", "2")])
    assert time.monotonic() - began_s < 20.0
    client.close()


def test_nobody_there() -> None:
    """Without any member the refusal names what was awaited, all addresses, and the last error."""
    client = Client(Access((Endpoint("http", "127.0.0.1", free_port()),)))
    with deadline(0.3), pytest.raises(Unavailable) as refusal:
        client.txn("the records", then=[get("/none")])
    assert "ran out of time waiting for the records: no member of the store (http://127" in str(
        refusal.value
    )
    assert "refused" in str(refusal.value)
    client.close()


def test_looking_while_the_store_is_away(
    make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists and looks are answered as they last were, soon; changes are refused, and go on after.

    Only what was changed elsewhere meanwhile is not known.
    """
    monkeypatch.setattr("volplug.etcd.client.PATIENCE_S", 3.0)
    monkeypatch.setattr("volplug.etcd.client.AWAY_S", 0.1)
    cluster = make_cluster(size=1)
    cluster.wait()
    store = EtcdStore(cluster.access)
    catalog, leases = store.catalog(), store.leases(Session("a", "boot-1", "", "1"))
    catalog.add(RECORD)
    lease = leases.acquire("data", RECORD.access)
    before = (catalog.records(), leases.leases())
    cluster.members[0].kill()
    with pytest.raises(Unavailable):
        leases.renew()
    began_s = time.monotonic()
    assert (catalog.records(), leases.leases()) == before
    assert (catalog.get("data"), leases.leases("data")) == (RECORD, [lease])
    assert (catalog.get("none"), leases.leases("none")) == (None, [])
    assert time.monotonic() - began_s < 10.0, "nobody waits long for what has been away"
    changes: list[Callable[[], object]] = [
        lambda: leases.mine("data"),
        lambda: catalog.replace(RECORD),
        lambda: leases.release(lease),
        lambda: EtcdStore(cluster.access),
    ]
    for change in changes:
        with pytest.raises(Unavailable):
            change()
    cluster.start()
    cluster.wait()
    leases.release(lease)
    catalog.remove("data")
    assert (catalog.records(), leases.leases()) == ([], [])
    store.close()


def test_all_looks_of_one_call_are_answered(make_cluster: MakeCluster) -> None:
    """The second look, for which the first has left no time, is answered out of memory as well."""
    cluster = make_cluster(size=1)
    cluster.wait()
    store = EtcdStore(cluster.access)
    catalog, leases = store.catalog(), store.leases(Session("a", "boot-1", "", "1"))
    catalog.add(RECORD)
    catalog.records()
    lease = leases.acquire("data", RECORD.access)
    leases.leases()
    cluster.members[0].kill()
    with deadline(0.3):
        assert (catalog.get("data"), leases.leases("data")) == (RECORD, [lease])
        assert (catalog.records(), leases.leases()) == ([RECORD], [lease])
    store.close()


def test_a_store_that_is_back_makes_nobody_silent(
    make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody can be heard of nobody is silent; whoever is dead is so W after it is back."""
    monkeypatch.setattr("volplug.etcd.client.PATIENCE_S", 0.5)
    cluster = make_cluster(size=1)
    cluster.wait()
    store, clock = EtcdStore(cluster.access), FakeClock()
    a, b = (store.leases(Session(node, "boot-1", "", "1"), clock, clock.utc) for node in "ab")
    a.acquire("data", AccessMode.SINGLE_WRITER)
    b.leases()
    cluster.members[0].kill()
    clock.sleep(silence_s(HOLD_MS))
    with pytest.raises(Unavailable):
        b.renew()
    monkeypatch.undo()
    cluster.start()
    cluster.wait()
    assert [lease.state for lease in b.leases()] == ["live"]
    clock.sleep(silence_s(HOLD_MS))
    assert [lease.state for lease in b.leases()] == ["lapsed"]
    store.close()


def test_nobody_is_called_silent_out_of_memory(
    make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that was lapsed before the store went away is not shown so: it might be fenced."""
    monkeypatch.setattr("volplug.etcd.client.PATIENCE_S", 0.5)
    cluster = make_cluster(size=1)
    cluster.wait()
    store, clock = EtcdStore(cluster.access), FakeClock()
    a, b = (store.leases(Session(node, "boot-1", "", "1"), clock, clock.utc) for node in "ab")
    a.acquire("data", AccessMode.SINGLE_WRITER)
    b.leases()
    clock.sleep(silence_s(HOLD_MS))
    assert [lease.state for lease in (*b.leases(), *b.leases("data"))] == ["lapsed", "lapsed"]
    cluster.members[0].kill()
    assert [lease.state for lease in (*b.leases(), *b.leases("data"))] == ["live", "live"]
    store.close()


def test_a_new_process_knows_nothing_to_answer_with(
    make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was never read is not answered for: nobody is told that there are no volumes."""
    monkeypatch.setattr("volplug.etcd.client.PATIENCE_S", 0.5)
    cluster = make_cluster(size=1)
    cluster.wait()
    store = EtcdStore(cluster.access)
    cluster.members[0].kill()
    with pytest.raises(Unavailable):
        store.catalog().records()
    with pytest.raises(Unavailable):
        store.catalog().get("data")
    store.close()


def test_no_proxy_of_the_environment(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the environment names, as Docker's daemon often has one, is not asked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    client.txn("a test", then=[get("/none")])


def test_two_clusters_in_one_list(cluster: Cluster, make_cluster: MakeCluster) -> None:
    """Members of different clusters are noticed at the first answer, and nothing is believed."""
    other = make_cluster(size=1)
    other.wait()
    client = Client(Access((*cluster.access.endpoints[:1], *other.access.endpoints)))
    client.txn("a test", then=[get("/none")])
    client._preferred = 1
    for _ in range(2):
        with pytest.raises(HostError, match="belong to two clusters"):
            client.txn("a test", then=[get("/none")])
    client.close()


def test_a_store_that_went_back(client: Client) -> None:
    """A revision below one that was answered before is never believed again (I17)."""
    client.txn("a test", then=[get("/none")])
    client._highest += 1000
    for _ in range(2):
        with pytest.raises(HostError, match="went back in time"):
            client.txn("a test", then=[get("/none")])


def test_users(make_cluster: MakeCluster, tmp_path: Path) -> None:
    """User and password open the store; without them, or with wrong ones, a sentence says so.

    A member that was restarted knows no tokens: a new one is asked for by itself.
    """
    cluster = make_cluster(size=1)
    cluster.wait()
    member = cluster.members[0]
    for name, password in (("root", "r"), ("volplug", "right")):
        ask(member, "auth/user/add", name=name, password=password)
    ask(member, "auth/role/add", name="root")
    ask(member, "auth/user/grant", user="root", role="root")
    ask(member, "auth/role/add", name="volplug")
    permission = {"permType": "READWRITE", "key": "L3ZvbHBsdWcv", "range_end": "L3ZvbHBsdWcw"}
    ask(member, "auth/role/grant", name="volplug", perm=permission)
    ask(member, "auth/user/grant", user="volplug", role="volplug")
    ask(member, "auth/enable")
    with pytest.raises(AccessDenied, match=r"set store\.user and store\.password"):
        EtcdStore(cluster.access)
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    access = replace(cluster.access, user="volplug", password=Secret(f"file:{secret}"))
    with pytest.raises(AccessDenied, match=r"check store\.user, store\.password") as refusal:
        EtcdStore(access)
    assert "wrong" not in str(refusal.value)
    secret.write_text("right\n")
    with pytest.raises(AccessDenied, match="permission denied"):
        EtcdStore(access, prefix="/other")
    store = EtcdStore(access)
    assert store.catalog().records() == []
    member.kill()
    cluster.start()
    assert store.catalog().records() == []
    store.close()


def test_a_user_where_there_are_none(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that etcd does not ask for is a mistake, and its cure is named."""
    monkeypatch.setenv("PASSWORD", "x")
    access = replace(cluster.access, user="u", password=Secret("env:PASSWORD"))
    with pytest.raises(AccessDenied, match="authentication is not enabled"):
        EtcdStore(access)


def test_certificates(make_cluster: MakeCluster, tmp_path: Path) -> None:
    """Both sides show certificates; without them nothing is answered."""
    need_program("openssl", "openssl")
    files = make_certificates(tmp_path)
    cluster = make_cluster(
        size=1,
        scheme="https",
        options=(
            *("--cert-file", str(files["cert"]), "--key-file", str(files["key"])),
            *("--client-cert-auth", "--trusted-ca-file", str(files["ca"])),
        ),
    )
    endpoints = cluster.access.endpoints
    store = EtcdStore(Access(endpoints, files["ca"], files["cert"], files["key"]))
    assert store.catalog().records() == []
    store.close()
    stranger = Access(endpoints, None, files["cert"], files["key"])
    nobody = Access(endpoints, files["ca"])
    for access in (stranger, nobody):
        with deadline(0.5), pytest.raises(Unavailable, match=r"(?i)certificate|ssl"):
            EtcdStore(access)
    lost = Access(endpoints, tmp_path / "none.pem")
    with pytest.raises(Unavailable, match=r"none\.pem"):
        EtcdStore(lost)


def make_certificates(directory: Path) -> dict[str, Path]:
    """Make an authority, and a certificate for both ends of a connection on this machine."""
    files = {name: directory / f"{name}.pem" for name in ("ca", "cert", "key")}
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    request, ca_key = directory / "request", directory / "ca.key"
    new_key = ("-newkey", "rsa:2048", "-nodes")
    for words in (
        ("req", "-x509", *new_key, "-keyout", ca_key, "-out", files["ca"], "-subj", "/CN=ca"),
        ("req", *new_key, "-keyout", files["key"], "-out", request, "-subj", "/CN=both"),
        (
            *("x509", "-req", "-in", request, "-CA", files["ca"], "-CAkey", ca_key),
            *("-CAcreateserial", "-out", files["cert"], "-extfile", extensions),
        ),
    ):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    return files


def test_a_full_store(make_cluster: MakeCluster, caplog: pytest.LogCaptureFixture) -> None:
    """An etcd that has no space left is told from one that is away, and upkeep warns of it."""
    cluster = make_cluster(size=1)
    cluster.wait()
    client = Client(cluster.access)
    client.txn("a test", then=[put("/key", "1")])
    member_id = ask(cluster.members[0], "maintenance/status")["header"]["member_id"]
    ask(
        cluster.members[0],
        "maintenance/alarm",
        action="ACTIVATE",
        alarm="NOSPACE",
        memberID=member_id,
    )
    with pytest.raises(Exhausted, match=r"no space left .* `etcdctl alarm disarm`"):
        client.txn("a test", then=[put("/key", "2")])
    Upkeep(client, Keys("/none"), is_mine=lambda: False, note=lambda: None).look()
    assert any("raises the alarm NOSPACE" in message for message in caplog.messages)
    client.close()


def test_compaction_keeps_the_last_revisions(client: Client) -> None:
    """The store forgets what is older than the last thousand revisions, and no key that is."""
    client.txn("a test", then=[put("/kept", "1")])
    missing = KEPT_REVISIONS + 5 - client.revision()
    for number in range(max(missing, 5)):
        client.txn("a test", then=[put("/busy", str(number))])
    oldest = compact(client)
    assert oldest == client.revision() - KEPT_REVISIONS
    assert compact(client) == oldest
    kept = client.txn("a test", then=[get("/kept")]).one(0)
    assert kept is not None
    with pytest.raises(HostError, match="compacted"):
        client.ask("a test", "kv/range", {"key": "L2tlcHQ=", "revision": str(oldest - 1)})


def test_upkeep_is_done_by_one_and_noted_by_all(client: Client) -> None:
    """Only where it is told to does it compact; each time it notes how far the store has come."""
    asked: list[str] = []
    Upkeep(client, Keys("/none"), is_mine=lambda: False, note=lambda: asked.append("noted")).look()
    assert asked == ["noted"]


def test_upkeep_goes_on_after_a_failure(client: Client) -> None:
    """It looks at once when it is started, and survives what goes wrong."""
    looks: list[str] = []

    def failing() -> bool:
        looks.append("look")
        raise Unavailable("away")

    upkeep = Upkeep(client, Keys("/none"), is_mine=failing, note=lambda: None)
    upkeep.start()
    with deadline(30.0):
        wait_until(lambda: bool(looks), "the first look", poll_s=0.01)
    assert upkeep._thread.is_alive()
    upkeep.stop()
    upkeep._thread.join(30.0)
    assert not upkeep._thread.is_alive()
