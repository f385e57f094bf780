"""A node that cannot renew, whatever the reason: its guard freezes, thaws, stops its writers."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.crash.agent import Agent
from tests.etcd import shelf_driver
from tests.etcd.cluster import Cluster
from tests.etcd.test_two_nodes import clean_up
from tests.linux.guarded import ROOT, Writer, alive, boottime_s, content, missing
from tests.machine import need_program, need_root
from tests.sqlite.shelf import new_shelf
from volplug.deadline import deadline, wait_until
from volplug.guard import State
from volplug.linux import mountpoint
from volplug.linux.guard import wire
from volplug.linux.guard.table import Entry, Table
from volplug.session import silence_s

pytestmark = pytest.mark.root

_HOLD_S = 6.0
_SPARE_S = 1.0
_STOPPED_S = silence_s(int(_HOLD_S * 1000)) - _SPARE_S
"""When the writes must have ended: a second before others may take the lease, 7.5 s here.

What must never be is a write after that silence. The freeze comes at 4.5 s, so a guard may be 3 s
late before this is red: to ask for less would measure how busy the machine is.
"""

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Node(Agent):
    """A node with a volume `data` on a shelf, and a short time to hold it."""

    def __init__(self, base: Path, cluster: Cluster, prefix: str) -> None:
        shelf = base / "shelf"
        shelf.mkdir()
        shelf_driver.install(base / "site")
        (base / "n1").mkdir()
        super().__init__(
            base / "n1",
            PYTHONPATH=f"{base / 'site'}:{ROOT}",
            VOLPLUG_NODE="n1",
            VOLPLUG_STORE__KIND="etcd",
            VOLPLUG_STORE__ENDPOINTS=str(cluster.access).replace(", ", ","),
            VOLPLUG_STORE__PREFIX=prefix,
            VOLPLUG_BACKENDS__SHELF__DRIVER="shelf",
            VOLPLUG_BACKENDS__SHELF__DIRECTORY=str(shelf),
            VOLPLUG_GUARD__HOLD_S=str(_HOLD_S),
        )
        self.image = shelf / "data"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all its processes, of which the guard is none."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def resume(self) -> None:
        """Let it run on, if it is there."""
        if self._process is not None:
            self.send(signal.SIGCONT)

    def mount(self) -> str:
        """Mount the volume, and return the refusal, empty if there is none."""
        answer = self.call("/VolumeDriver.Mount", Name="data", ID="c1")
        return "the connection broke" if answer is None else str(answer["Err"])

    def path(self) -> Path:
        """Return where the volume is mounted."""
        answer = self.call("/VolumeDriver.Path", Name="data")
        assert answer is not None
        return Path(answer["Mountpoint"])

    def forget_use(self) -> bool:
        """Take the use back, as an engine does whose container has ended; say if that was heard."""
        return self.call("/VolumeDriver.Unmount", Name="data", ID="c1") == {"Err": ""}

    def seen_leases(self) -> object:
        """Return the leases, if the store answers."""
        return (self.call("/Volplug.Leases") or {}).get("Leases")

    def end(self) -> None:
        """End volplug in good order."""
        self.send(signal.SIGTERM)
        assert self._process is not None
        self._process.wait(60.0)
        self._process = None

    def unmount(self) -> None:
        """Take the use back, and wait until the volume has left."""
        assert self.forget_use()
        with deadline(60.0):
            wait_until(lambda: self.leases() == [], "the release")

    def armed(self) -> list[Entry]:
        """Return what the guard's table says."""
        path = self.directory / "state/guard" / wire.TABLE
        if not path.exists():
            return []
        table = Table(path, _BOOT.read_text().strip(), writable=False)
        try:
            return table.read()
        finally:
            table.close()

    def wait(self, state: State) -> None:
        """Wait until the volume stands so."""
        with deadline(60.0):
            wait_until(
                lambda: [each.state for each in self.armed()] == [state], str(state), poll_s=0.01
            )

    def guard(self) -> int:
        """Return the number of the guard's process."""
        with wire.connect(self.directory / "state/guard", 10.0) as line:
            wire.send(line, {"do": "look"})
            answer = wire.receive(line)
        assert answer is not None
        return int(answer["process"])


@pytest.fixture(scope="module")
def own_cluster(etcd_program: Path) -> Iterator[Cluster]:
    """A cluster of one member, to be stopped and to go on again."""
    cluster = Cluster(etcd_program, new_shelf(), size=1)
    cluster.start()
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def node(own_cluster: Cluster, tmp_path: Path, prefix: str) -> Iterator[Node]:
    """A node that has its volume mounted."""
    need_root()
    need_program("mkfs.ext4", "e2fsprogs")
    node = Node(tmp_path, own_cluster, prefix)
    node.start()
    try:
        assert node.call("/VolumeDriver.Create", Name="data") == {"Err": ""}
        assert node.mount() == "", node.log.read_text()
        yield node
    finally:
        for member in own_cluster.members:
            member.send(signal.SIGCONT)
        node.resume()
        node.kill()
        with suppress(OSError):
            os.kill(node.guard(), signal.SIGKILL)
        clean_up(tmp_path)
        for path in (tmp_path / "n1/state/mounts").glob("**/data"):
            mountpoint.remove(path)


@pytest.fixture
def writer(node: Node, tmp_path: Path) -> Iterator[Writer]:
    """A writer on the volume."""
    writer = Writer(node.path(), tmp_path / "words")
    yield writer
    writer.end()


def _break(reason: str, node: Node, cluster: Cluster) -> None:
    if reason == "killed":
        node.kill()
    elif reason == "paused":
        node.send(signal.SIGSTOP)
    else:
        cluster.members[0].send(signal.SIGSTOP)


def _mend(reason: str, node: Node, cluster: Cluster) -> None:
    if reason == "killed":
        node.start()
    elif reason == "paused":
        node.send(signal.SIGCONT)
    else:
        cluster.members[0].send(signal.SIGCONT)


@pytest.mark.parametrize("reason", ["killed", "paused", "store away"])
def test_a_node_that_cannot_renew_stops_writing(
    node: Node, own_cluster: Cluster, writer: Writer, reason: str
) -> None:
    """In time, for good under this token, with all that was acknowledged; a new token goes on."""
    [lease] = node.leases()
    began_s = boottime_s()
    _break(reason, node, own_cluster)
    with deadline(60.0):
        wait_until(writer.failed, "the end of the writes", poll_s=0.01)
    assert writer.acknowledged()[-1][1] <= began_s + _STOPPED_S
    node.wait(State.STOPPED)
    before = content(node.image)
    _mend(reason, node, own_cluster)
    writer.end()
    os.sync()
    assert content(node.image) == before
    with deadline(60.0):
        wait_until(node.forget_use, "volplug", poll_s=0.2)
        wait_until(lambda: node.mount() == "", "a new grant", poll_s=0.2)
    [newer] = node.leases()
    assert newer["token"] > lease["token"]
    assert missing(node.path(), writer) == []
    assert [(each.token, each.state) for each in node.armed()] == [(newer["token"], State.ACTIVE)]
    node.unmount()
    assert node.armed() == []
    subprocess.run(["e2fsck", "-fn", node.image], check=True, capture_output=True)


@contextmanager
def _no_guard(node: Node) -> Iterator[None]:
    """Kill the guard, and have no other one serve, for its post is taken by us."""
    guard = node.guard()
    with (node.directory / "state/guard" / wire.LOCK).open() as post:
        os.kill(guard, signal.SIGKILL)
        fcntl.flock(post, fcntl.LOCK_EX)
        yield


def test_without_store_and_guard_volplug_itself_stops_the_writers(
    node: Node, own_cluster: Cluster, writer: Writer
) -> None:
    """The store has not heard that nothing guards this node, so others count on its stop."""
    [lease] = node.leases()
    began_s = boottime_s()
    _break("store away", node, own_cluster)
    with _no_guard(node):
        with deadline(60.0):
            wait_until(writer.failed, "the end of the writes", poll_s=0.01)
        assert writer.acknowledged()[-1][1] <= began_s + _STOPPED_S
        before = content(node.image)
        _mend("store away", node, own_cluster)
        writer.end()
        os.sync()
        with deadline(60.0):
            wait_until(lambda: node.seen_leases() == [lease], "the store", poll_s=0.2)
        assert content(node.image) == before
    node.wait(State.STOPPED)
    assert content(node.image) == before


def test_a_store_that_is_back_in_time_costs_nothing(
    node: Node, own_cluster: Cluster, writer: Writer
) -> None:
    """Frozen, then thawed by the first renewal: the writer has waited, and lost nothing."""
    _break("store away", node, own_cluster)
    node.wait(State.FROZEN)
    _mend("store away", node, own_cluster)
    node.wait(State.ACTIVE)
    reached = len(writer.acknowledged())
    with deadline(60.0):
        wait_until(lambda: len(writer.acknowledged()) > reached + 20, "writes", poll_s=0.01)
    assert not writer.failed()
    writer.end()
    assert missing(node.path(), writer) == []


def test_a_clean_end_takes_the_guard_along(node: Node) -> None:
    """With nothing armed, the guard that was started for volplug goes when it goes."""
    guard = node.guard()
    node.unmount()
    node.end()
    with deadline(60.0):
        wait_until(lambda: not alive(guard), "the guard's end")
    node.start()
    assert node.mount() == ""
    assert node.guard() != guard
