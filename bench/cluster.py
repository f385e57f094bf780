"""What a cluster's store costs, and how soon a dead node's volume can be elsewhere.

On a real etcd of three members on this machine: transactions and bytes read a second for 1, 10 and
100 nodes with 1 and with 1,000 leases each; the time of a grant beside SQLite's; and twelve
takeovers on the default profile, each from the last moment of a node to the grant on another one.
"""

import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.etcd.cluster import Cluster
from tests.etcd.many_leases import multiply
from volplug.etcd import EtcdStore
from volplug.etcd.client import Client
from volplug.etcd.keys import Keys
from volplug.etcd.wire import get
from volplug.keeper import PERIOD_S
from volplug.lease import LeaseState, LeaseTable
from volplug.session import HOLD_MS, RENEW_S, Session, silence_s
from volplug.sqlite import SqliteStore
from volplug.volume import AccessMode

_ALONE = AccessMode.SINGLE_WRITER
_COST_S = 15.0
_READ_BYTES = "etcd_network_client_grpc_sent_bytes_total"
"""What etcd calls the bytes that it answered with."""

_GRANTS = 500
_TAKEOVERS = 12
_SPARE_S = 5.0
"""How much later than after the silence W a dead node's volume may be elsewhere."""


def main() -> None:
    """Measure and print."""
    program = shutil.which("etcd")
    if program is None:
        print("no etcd here (Debian: apt-get install etcd-server): nothing measured")
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # /tmp may be memory
        cluster = Cluster(Path(program), Path(folder) / "etcd")
        (Path(folder) / "etcd").mkdir()
        cluster.start()
        try:
            cluster.wait()
            _latency(cluster, Path(folder) / "store.db")
            rates = {
                (nodes, leases): _cost(cluster, nodes, leases)
                for nodes in (1, 10, 100)
                for leases in (1, 1000)
            }
            _compare(rates)
            _takeovers(cluster)
        finally:
            cluster.stop()


def _latency(cluster: Cluster, path: Path) -> None:
    local, shared = SqliteStore(path), EtcdStore(cluster.access, prefix="/latency")
    for name, table in (
        ("SQLite", local.leases(_session("bench"))),
        ("etcd", shared.leases(_session("bench"))),
    ):
        times_ms = []
        for _ in range(_GRANTS):
            began_s = time.perf_counter()
            lease = table.acquire("data", _ALONE)
            times_ms.append((time.perf_counter() - began_s) * 1000)
            table.release(lease)
        percentiles = statistics.quantiles(times_ms, n=100)
        print(f"grant on {name:6}: p50 {percentiles[49]:6.2f} ms, p99 {percentiles[98]:6.2f} ms")
    local.close()
    shared.close()


def _cost(cluster: Cluster, nodes: int, leases: int) -> float:
    """Let nodes hold leases, and return how many transactions a second that costs."""
    prefix = f"/cost/{nodes}/{leases}"
    store, client = EtcdStore(cluster.access, prefix=prefix), Client(cluster.access)
    tables = {f"n{number}": store.leases(_session(f"n{number}")) for number in range(nodes)}
    began_s = time.monotonic()
    _grant(client, Keys(prefix), tables, leases)
    granted_s = time.monotonic() - began_s
    look_bytes = _look(cluster, tables, leases)
    with ExitStack() as stack:
        for table in tables.values():
            stack.enter_context(_renewing(table))
        time.sleep(RENEW_S / 2)  # a window between renewals, for one at its edge counts or does not
        before, began_s = _revision(client), time.monotonic()
        read_before = cluster.metric(_READ_BYTES)
        time.sleep(_COST_S)
        lasted_s = time.monotonic() - began_s
        rate = (_revision(client) - before) / lasted_s
        read_rate = (cluster.metric(_READ_BYTES) - read_before) / lasted_s
    client.close()
    store.close()
    print(
        f"{nodes:4} nodes with {leases:4} leases each: {rate:6.2f} transactions a second"
        f" ({nodes * leases} leases were made in {granted_s:.0f} s);"
        f" read by renewals {read_rate / 1000:.1f} kB a second,"
        f" by keepers {nodes * look_bytes / PERIOD_S / 1000:.1f} kB a second",
        flush=True,
    )
    return rate


def _revision(client: Client) -> int:
    """Return how many changes etcd has seen; who reads learns of it."""
    client.txn("the revision", then=[get("none")])
    return client.revision()


def _grant(client: Client, keys: Keys, tables: dict[str, LeaseTable], leases: int) -> None:
    """Let each node have so many leases: the first one acquired, the others copied from it."""
    firsts = {node: table.acquire(f"v-{node}-0", _ALONE) for node, table in tables.items()}
    multiply(
        client,
        keys,
        ((lease, [f"v-{node}-{n}" for n in range(1, leases)]) for node, lease in firsts.items()),
    )
    listed = next(iter(tables.values())).leases()
    expected = {(node, f"v-{node}-{number}") for node in tables for number in range(leases)}
    assert {(lease.node, lease.volume) for lease in listed} == expected
    assert len(listed) == len(expected)
    for node in list(tables)[:3]:
        last = tables[node].mine(f"v-{node}-{leases - 1}")
        assert last is not None
        assert tables[node].acquire(last.volume, _ALONE) == last


def _look(cluster: Cluster, tables: dict[str, LeaseTable], leases: int) -> float:
    """Let one node look at its own leases as its keeper does, and return the bytes it reads."""
    node, table = next(iter(tables.items()))
    before = cluster.metric(_READ_BYTES)
    assert len([lease for lease in table.leases() if lease.node == node]) == leases
    return cluster.metric(_READ_BYTES) - before


def _compare(rates: dict[tuple[int, int], float]) -> None:
    """Print what grows with what."""
    for leases in (1, 1000):
        ratios = [rates[nodes, leases] / rates[1, leases] for nodes in (10, 100)]
        print(f"with {leases:4} leases each, 10 and 100 nodes: x{ratios[0]:.1f}, x{ratios[1]:.1f}")
    for nodes in (1, 10, 100):
        ratio = rates[nodes, 1000] / rates[nodes, 1]
        print(f"{nodes:4} nodes, with 1000 leases each instead of 1: x{ratio:.2f}")


def _takeovers(cluster: Cluster) -> None:
    store = EtcdStore(cluster.access, prefix="/takeover")
    taker = store.leases(_session("taker"))
    died_s: dict[str, float] = {}
    taken_s: dict[str, float] = {}
    with ExitStack() as stack:
        stack.enter_context(_renewing(taker))
        ends = [
            stack.enter_context(_renewing(_holder(store, f"n{number}")))
            for number in range(_TAKEOVERS)
        ]
        time.sleep(2 * RENEW_S)
        for number, end in enumerate(ends):
            end()
            died_s[f"n{number}"] = time.monotonic()
            time.sleep(random.uniform(0.1, 0.8))  # noqa: S311  chance, not a secret
        while len(taken_s) < _TAKEOVERS:
            for lease in taker.leases():
                if lease.state is LeaseState.LAPSED and lease.node in died_s:
                    taker.condemn(lease, by="bench", reason="its renewals were ended")
                    taker.acquire(lease.volume, _ALONE)
                    taken_s[lease.node] = time.monotonic() - died_s[lease.node]
            time.sleep(0.1)
    store.close()
    times_s, limit_s = sorted(taken_s.values()), silence_s(HOLD_MS) + _SPARE_S
    print(
        f"{_TAKEOVERS} takeovers, W {silence_s(HOLD_MS):.1f} s: min {times_s[0]:.1f},"
        f" median {statistics.median(times_s):.1f}, max {times_s[-1]:.1f} s"
    )
    if times_s[-1] > limit_s:
        sys.exit(f"takeovers are promised within {limit_s:.1f} s")


def _holder(store: EtcdStore, node: str) -> LeaseTable:
    table = store.leases(_session(node))
    table.acquire(f"volume of {node}", _ALONE)
    return table


@contextmanager
def _renewing(table: LeaseTable) -> Iterator[Callable[[], None]]:
    """Renew as a node does, until the function is called that is yielded."""
    end = threading.Event()

    def live() -> None:
        while not end.wait(RENEW_S):
            table.renew()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    yield end.set
    end.set()
    thread.join()


def _session(node: str) -> Session:
    return Session(node, "boot", f"machine of {node}", "instance")


if __name__ == "__main__":
    main()
