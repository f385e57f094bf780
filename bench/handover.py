"""How soon a volume is elsewhere: after a clean release, and after a reboot of its node's hardware.

Real `volplug serve` processes on a real etcd of three members on this machine, with volumes of the
local driver in a directory that they share. Beside that, in the same run, the time of a Mount on
etcd and on SQLite, through the same socket and the same calls; the ratio is what to compare between
machines. Wants root, for it mounts.
"""

import os
import random
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.crash.agent import Agent
from tests.etcd.cluster import Cluster
from volplug.session import HOLD_MS, silence_s

_MOUNTS = 200
_HANDOVERS = 20
_REBOOTS = 5


def main() -> None:
    """Measure and print."""
    program = shutil.which("etcd")
    if program is None or os.geteuid() != 0:
        print("this wants root, and etcd (Debian: apt-get install etcd-server): nothing measured")
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # /tmp may be memory
        room = Path(folder)
        (room / "etcd").mkdir()
        cluster = Cluster(Path(program), room / "etcd")
        cluster.start()
        try:
            cluster.wait()
            _latency(cluster, room)
            _handovers(cluster, room)
            _reboots(cluster, room)
        finally:
            cluster.stop()
            _unmount(room)


class Node(Agent):
    """A node of the bench: its boot and its hardware are files, so that it can be rebooted."""

    def __init__(self, room: Path, name: str, cluster: Cluster | None, prefix: str) -> None:
        directory = room / f"{prefix.strip('/')}-{name}"
        directory.mkdir()
        self._boot = directory / "boot-id"
        (directory / "hardware-id").write_text(f"hardware of {name}")
        settings = {
            "VOLPLUG_NODE": name,
            "VOLPLUG_BOOT_ID_FILE": str(self._boot),
            "VOLPLUG_HARDWARE_ID_FILE": str(directory / "hardware-id"),
            "VOLPLUG_BACKENDS__TREES__DRIVER": "local",
            "VOLPLUG_BACKENDS__TREES__ROOT": str(room / "shared"),
        }
        if cluster is not None:
            settings["VOLPLUG_STORE__KIND"] = "etcd"
            settings["VOLPLUG_STORE__ENDPOINTS"] = str(cluster.access).replace(", ", ",")
            settings["VOLPLUG_STORE__PREFIX"] = prefix
        super().__init__(directory, **settings)
        self.boot()

    def boot(self) -> None:
        """Begin a new life of the machine."""
        self._boot.write_text(f"boot {random.random()}")  # noqa: S311  chance, not a secret

    def do(self, call: str, **body: object) -> None:
        """Make a call that has to succeed."""
        answer = self.call(f"/VolumeDriver.{call}", **body)
        assert answer is not None, f"{call}: the connection broke"
        assert not answer.get("Err"), answer["Err"]


@contextmanager
def _serving(room: Path, cluster: Cluster | None, prefix: str, *names: str) -> Iterator[list[Node]]:
    nodes = [Node(room, name, cluster, prefix) for name in names]
    try:
        for node in nodes:
            node.start()
            node.do("List")
        yield nodes
    finally:
        for node in nodes:
            node.kill()
            _unmount(node.directory)


def _latency(cluster: Cluster, room: Path) -> None:
    """Mount many volumes for the first time, on the one store and on the other by turns."""
    times_ms: dict[str, list[float]] = {"SQLite": [], "etcd": []}
    with (
        _serving(room, None, "/local", "a") as [local],
        _serving(room, cluster, "/latency", "a") as [shared],
    ):
        nodes = {"SQLite": local, "etcd": shared}
        for number in range(_MOUNTS):
            for store, node in nodes.items():
                volume = f"{store.lower()}-{number}"
                node.do("Create", Name=volume, Opts={})
                began_s = time.perf_counter()
                node.do("Mount", Name=volume, ID="c1")
                times_ms[store].append((time.perf_counter() - began_s) * 1000)
                node.do("Unmount", Name=volume, ID="c1")
    ranks = {store: statistics.quantiles(times, n=100) for store, times in times_ms.items()}
    for store, found in ranks.items():
        print(f"Mount with {store:6}: p50 {found[49]:7.2f} ms, p99 {found[98]:7.2f} ms")
    p50, p99 = (ranks["etcd"][rank] / ranks["SQLite"][rank] for rank in (49, 98))
    print(f"Mount with etcd / with SQLite: p50 x{p50:.2f}, p99 x{p99:.2f}")


def _handovers(cluster: Cluster, room: Path) -> None:
    """Let two nodes give a volume to each other, each time while the other one waits."""
    times_s = []
    with _serving(room, cluster, "/handover", "a", "b") as nodes:
        nodes[0].do("Create", Name="data", Opts={})
        nodes[0].do("Mount", Name="data", ID="c1")
        for number in range(_HANDOVERS):
            holder, waiter = nodes[number % 2], nodes[1 - number % 2]
            granted = _in_background(partial(waiter.do, "Mount", Name="data", ID="c1"))
            time.sleep(random.uniform(0.5, 1.5))  # noqa: S311  chance, not a secret
            began_s = time.monotonic()
            holder.do("Unmount", Name="data", ID="c1")
            times_s.append(granted() - began_s)
    _print(f"{_HANDOVERS} hand-overs, from the Unmount to the other's Mount", times_s, 1.0)


def _reboots(cluster: Cluster, room: Path) -> None:
    """Kill a node, boot its hardware anew, and see how soon another node has its volume."""
    times_s = []
    with _serving(room, cluster, "/reboot", "a", "b") as [dying, waiter]:
        dying.do("Create", Name="data", Opts={})
        for _ in range(_REBOOTS):
            _mount_at_last(dying)
            dying.kill()
            _unmount(dying.directory)
            dying.boot()
            granted = _in_background(partial(waiter.do, "Mount", Name="data", ID="c1"))
            time.sleep(random.uniform(0.5, 1.5))  # noqa: S311  chance, not a secret
            began_s = time.monotonic()
            dying.start()
            times_s.append(granted() - began_s)
            waiter.do("Unmount", Name="data", ID="c1")
    _print(f"{_REBOOTS} reboots, from volplug's start to the other's Mount", times_s, 2.0)
    print(f"without the proof of a reboot it would be {silence_s(HOLD_MS):.0f} s, and a fence")


def _mount_at_last(node: Node) -> None:
    """Mount, however long the other one takes: a stranger's mount namespace may hold a copy."""
    while (answer := node.call("/VolumeDriver.Mount", Name="data", ID="c1")) and answer["Err"]:
        print(f"waiting: {answer['Err']}")


def _in_background(work: Callable[[], None]) -> Callable[[], float]:
    """Begin some work; return a function that waits for its end, and returns when that was."""
    ends_s: list[float] = []

    def run() -> None:
        work()
        ends_s.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> float:
        thread.join()
        return ends_s[0]

    return wait


def _print(what: str, times_s: list[float], promised_s: float) -> None:
    print(
        f"{what}: min {min(times_s):.2f}, median {statistics.median(times_s):.2f},"
        f" max {max(times_s):.2f} s; promised {promised_s:g} s, max / promised"
        f" x{max(times_s) / promised_s:.2f}"
    )


def _unmount(below: Path) -> None:
    """Unmount all that is mounted below a directory, as a reboot does, and let it be deleted.

    What is left would keep the same volume in use for all other nodes of this machine.
    """
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for place in reversed([line.split()[4] for line in lines]):
        if place.startswith(f"{below}/"):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
    subprocess.run(["chattr", "-R", "-i", below], check=False, capture_output=True)


if __name__ == "__main__":
    main()
