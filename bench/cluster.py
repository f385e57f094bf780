"""What a cluster's store costs, and how soon a dead node's volume can be elsewhere.

On a real etcd of three members on this machine: transactions a second for 1, 10 and 100 nodes with
1 and with 1,000 leases each way; the time of a grant beside SQLite's; and twelve takeovers on the
default profile, each from the last moment of a node to the grant on another one.
"""

import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.etcd.cluster import Cluster
from volplug.etcd import EtcdStore
from volplug.lease import LeaseState, LeaseTable
from volplug.session import HOLD_MS, RENEW_S, Session, silence_s
from volplug.sqlite import SqliteStore
from volplug.volume import AccessMode

_ALONE = AccessMode.SINGLE_WRITER
_COST_S = 15.0
_ASKING = 16
"""How many grants are asked for at once."""

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
    store = EtcdStore(cluster.access, prefix=f"/cost/{nodes}/{leases}")
    tables = {f"n{number}": store.leases(_session(f"n{number}")) for number in range(nodes)}
    began_s = time.monotonic()
    with ThreadPoolExecutor(_ASKING) as pool:
        wanted = [(node, f"v-{node}-{lease}") for lease in range(leases) for node in tables]
        granted = set(pool.map(lambda one: tables[one[0]].acquire(one[1], _ALONE), wanted))
    assert len(granted) == nodes * leases
    granted_s = time.monotonic() - began_s
    with ExitStack() as stack:
        for table in tables.values():
            stack.enter_context(_renewing(table))
        store.catalog().get("none")
        before, began_s = store._client.revision(), time.monotonic()  # noqa: SLF001  etcd's count
        time.sleep(_COST_S)
        store.catalog().get("none")
        rate = (store._client.revision() - before) / (time.monotonic() - began_s)  # noqa: SLF001  as above
    store.close()
    print(
        f"{nodes:4} nodes with {leases:4} leases each: {rate:6.2f} transactions a second"
        f" ({len(granted)} leases were made in {granted_s:.0f} s)"
    )
    return rate


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
