"""The promises of arming.py and of the ladder's place for it: armed before, disarmed after."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug import arming
from volplug.driver import Fencing
from volplug.errors import Unavailable, VolumeInUse
from volplug.guard import Level
from volplug.ladder import Ladder
from volplug.lease import Lease
from volplug.renewal import Renewal
from volplug.testing import FakeDriver
from volplug.volume import AccessMode


class Ledger:
    """A Guarding that notes what it is told, in one list with what it sees of the volume then."""

    shared_store = True

    def __init__(self, node: SmallNode) -> None:
        self._node = node
        self.told: list[str] = []
        self.stopped: set[int] = set()
        self.refuses = ""
        self.stops = False
        self.mine: list[Lease] = []

    def begin(self, mine: list[Lease]) -> None:
        """Note it."""
        self.mine = mine

    def level(self) -> Level:
        """Claim something to be told."""
        return Level.PROCESS

    def renewed(self) -> None:
        """Note it."""
        self.told.append("renewed")

    @contextmanager
    def armed(self, lease: Lease) -> Iterator[None]:
        """Note both ends of the block."""
        if self.refuses:
            raise Unavailable(self.refuses)
        self.told.append(f"armed {lease.volume}{self._seen(lease.volume)}")
        yield
        if self.stops:
            self.stopped.add(lease.token)
        self.told.append(f"staged {lease.volume}{self._seen(lease.volume)}")

    def adopt(self, lease: Lease) -> None:
        """Note it."""
        self.told.append(f"adopted {lease.volume}")

    def disarm(self, volume: str) -> None:
        """Note it."""
        self.told.append(f"disarmed {volume}{self._seen(volume)}")

    def has_stopped(self, lease: Lease) -> bool:
        """Say what the test said."""
        return lease.token in self.stopped

    def lost(self) -> None:
        """Note it."""
        self.told.append("lost")

    def close(self) -> None:
        """Note it."""
        self.told.append("closed")

    def _seen(self, volume: str) -> str:
        here = " here" if self._node.host.path(volume) else ""
        return here + (" leased" if self._node.leases.mine(volume) else "")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallNode:
    """A node with a volume `data`, whose driver cannot fence."""
    monkeypatch.setattr("volplug.arming.Fencing", _Nothing)
    node = SmallNode(tmp_path)
    node.create("data")
    return node


class _Nothing:
    """What no driver is."""


@pytest.fixture
def ledger(node: SmallNode) -> Ledger:
    """The node's guard."""
    ledger = Ledger(node)
    node.node = replace(node.node, guard=ledger)
    node.ladder = Ladder(node.node, wait_s=0.2)
    return ledger


def test_armed_from_grant_to_departure(node: SmallNode, ledger: Ledger) -> None:
    """Armed when leased and not here yet, disarmed when not here and still leased."""
    node.ladder.up("data")
    node.ladder.up("data")
    node.ladder.down("data")
    assert ledger.told == [
        "armed data leased",
        "staged data here leased",
        "disarmed data leased",
    ]


def test_a_refused_arming_gives_the_lease_back(node: SmallNode, ledger: Ledger) -> None:
    """What cannot be guarded is not brought here, and nobody is kept waiting for it."""
    ledger.refuses = "too late"
    with pytest.raises(Unavailable, match="too late"):
        node.ladder.up("data")
    assert node.leases.leases() == []
    assert node.host.staged() == set()


def test_a_mount_that_was_stopped_meanwhile_fails(node: SmallNode, ledger: Ledger) -> None:
    """No directory is handed out that was dead before the answer; it and the lease are gone."""
    ledger.stops = True
    with pytest.raises(Unavailable, match="stopped while it was being mounted"):
        node.ladder.up("data")
    assert node.leases.leases() == []
    assert node.host.staged() == set()
    ledger.stops = False
    node.ladder.up("data")
    assert node.host.staged() == {"data"}


def test_stopped_comes_back_under_a_new_token_only(node: SmallNode, ledger: Ledger) -> None:
    """A mount that was stopped is never handed out again (I6)."""
    node.ladder.up("data")
    before = node.leases.mine("data")
    assert before is not None
    ledger.stopped = {before.token}
    with node.host.use("data"), pytest.raises(VolumeInUse):
        node.ladder.up("data")
    node.ladder.up("data")
    after = node.leases.mine("data")
    assert after is not None
    assert after.token > before.token
    assert ledger.told[-3:] == [
        "disarmed data leased",
        "armed data leased",
        "staged data here leased",
    ]


def test_what_cannot_be_waited_out_is_not_armed(
    node: SmallNode, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what the storage can refuse, nor what is on one node, nor what excludes nobody."""
    node.create("shared", {"access": AccessMode.SHARED.value})
    node.ladder.up("shared")
    monkeypatch.setattr(FakeDriver, "node_local", True)
    assert not arming.may_guard(node.node.backends)
    node.ladder.up("data")
    node.ladder.down("data")
    monkeypatch.setattr(FakeDriver, "node_local", False)
    assert arming.may_guard(node.node.backends)
    monkeypatch.setattr("volplug.arming.Fencing", Fencing)
    assert not arming.may_guard(node.node.backends)
    node.ladder.up("data")
    assert ledger.told == ["disarmed data leased"]


def test_a_new_agent_takes_over_what_is_here(node: SmallNode, ledger: Ledger) -> None:
    """It tells which leases stand, and has watched what is mounted; nothing that was stopped."""
    node.create("other")
    for volume in ("data", "other"):
        node.ladder.up(volume)
    stopped = node.leases.mine("other")
    assert stopped is not None
    ledger.told, ledger.stopped = [], {stopped.token}
    arming.begin(node.node)
    assert [lease.volume for lease in ledger.mine] == ["data", "other"]
    assert ledger.told == ["adopted data"]


def test_renewals_are_told_and_the_level_goes_with_them(node: SmallNode, ledger: Ledger) -> None:
    """The guard hears of each renewal, and the session says how this node is guarded."""
    renewal = Renewal(node.leases, guard=ledger)
    assert renewal.renew()
    assert ledger.told == ["renewed"]
    assert [each.guard_level for each in node.leases.nodes()] == [1]


def test_a_lost_session_stops_everything_first(node: SmallNode, ledger: Ledger) -> None:
    """Before the process ends, its guard hears that no deadline counts any more."""
    renewal = Renewal(node.leases, lambda: ledger.told.append("end"), guard=ledger)
    node.restart()
    renewal.renew()
    assert ledger.told == ["lost", "end"]
