"""The promises of fences.py and quarantine.py: no lease moves without its proof, none is undone."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug import fences
from volplug.errors import HeldElsewhere, Unavailable, VolumeInUse
from volplug.event import Event
from volplug.lease import FenceState, Lease, LeaseState
from volplug.session import Quarantine
from volplug.takeover import Takeover
from volplug.testing import FakeDriver


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node `n1` that wants the volume `data`."""
    node = SmallNode(tmp_path)
    node.create("data")
    return node


@pytest.fixture
def holder(node: SmallNode, tmp_path: Path) -> SmallNode:
    """A node `n2` that has `data` mounted, and falls silent."""
    holder = SmallNode(tmp_path, "n2", beside=node)
    holder.leases.renew(guard_level=1)
    holder.ladder.up("data")
    silence(node)
    return holder


def silence(node: SmallNode) -> None:
    """Let all other nodes be silent for longer than a holder may write."""
    node.leases.leases()
    node.leases.nodes()
    node.clock.sleep(60)
    node.leases.renew()


def lapsed(node: SmallNode) -> Lease:
    """Return the only lease, which has lapsed."""
    [lease] = node.leases.leases("data")
    assert lease.state is LeaseState.LAPSED
    return lease


def fenced(node: SmallNode) -> int:
    """Count the fences that the storage was asked for."""
    return [verb for verb, _ in node.cloud.calls].count("fence")


def unfenceable(monkeypatch: pytest.MonkeyPatch, drain_s: float | None) -> None:
    """Let the fake driver lack the ability to fence."""
    monkeypatch.setattr(fences, "Fencing", type("Nothing", (), {}))
    monkeypatch.setattr(FakeDriver, "drain_s", drain_s)


@pytest.mark.usefixtures("holder")
def test_order_is_stored_before_the_storage_is_asked(
    node: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the storage works, everybody can read that it was told to, and by whom."""
    lease, during = lapsed(node), []
    fence = FakeDriver.fence

    def watched(self: FakeDriver, *arguments: object) -> str:
        during.extend(node.leases.fences())
        return fence(self, *arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(FakeDriver, "fence", watched)
    node.ladder.up("data")
    [required] = during
    assert (required.token, required.state, required.by) == (lease.token, "required", "n1")
    [done] = node.leases.fences()
    assert (done.state, done.words) == (FenceState.DONE, "the fake cloud took data from n2")
    assert [one.reason for one in node.leases.condemnations()] == [done.words]


@pytest.mark.usefixtures("holder")
def test_failure_is_stored_and_tried_again(node: SmallNode) -> None:
    """Why a fence failed stays in the table, nothing is condemned, and the next Mount tries."""
    node.cloud.fail("fence", Unavailable("the cloud is away"))
    with pytest.raises(HeldElsewhere):
        node.ladder.up("data")
    [failed] = node.leases.fences()
    assert (failed.state, failed.words) == (FenceState.FAILED, "the cloud is away")
    assert node.leases.condemnations() == []
    node.ladder.up("data")
    assert [one.state for one in node.leases.fences()] == [FenceState.DONE]


@pytest.mark.usefixtures("holder")
def test_next_taker_goes_on_where_one_died(node: SmallNode, tmp_path: Path) -> None:
    """A taker that ended in the midst leaves its order, and another one carries it out."""
    node.leases.note_fence(lapsed(node), FenceState.REQUIRED)
    other = SmallNode(tmp_path, "n3", beside=node)
    silence(other)
    other.ladder.up("data")
    [done] = other.leases.fences()
    assert (done.state, done.by) == (FenceState.DONE, "n3")


@pytest.mark.usefixtures("holder")
def test_proof_that_is_there_is_not_fetched_again(node: SmallNode) -> None:
    """A taker that ended between proof and condemnation has left the proof to the next one."""
    lease = lapsed(node)
    node.leases.note_fence(lease, FenceState.REQUIRED)
    node.leases.note_fence(lease, FenceState.DONE, "proven before")
    node.ladder.up("data")
    assert fenced(node) == 0
    assert [one.reason for one in node.leases.condemnations()] == ["proven before"]


def test_late_fence_does_not_meet_a_newer_lease(
    node: SmallNode, holder: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that came back while the taker looked around is not cut off from its new lease."""
    attachments = FakeDriver.attachments

    def slow(self: FakeDriver, *arguments: object) -> object:
        found = attachments(self, *arguments)  # type: ignore[arg-type]  # passed on as they came
        monkeypatch.setattr(FakeDriver, "attachments", attachments)
        holder.leases.renew()
        holder.ladder.down("data")
        holder.ladder.up("data")
        return found

    monkeypatch.setattr(FakeDriver, "attachments", slow)
    with pytest.raises(HeldElsewhere):
        node.ladder.up("data")
    assert fenced(node) == 0
    assert [lease.state for lease in node.leases.leases("data")] == [LeaseState.LIVE]
    assert node.leases.condemnations() == []


@pytest.mark.usefixtures("holder")
def test_manual_takeover_fences_nobody(node: SmallNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the operator wants to be asked, a silent holder keeps its lease and its access."""
    monkeypatch.setattr(node.node.backends, "takeover", lambda _: Takeover.MANUAL)
    with pytest.raises(HeldElsewhere, match="silent since"):
        node.ladder.up("data")
    assert fenced(node) == 0
    assert node.leases.fences() == []


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize(
    ("takeover", "drain_s", "moves"),
    [
        (Takeover.TIMED, 1.0, True),
        (Takeover.TIMED, 3600.0, False),
        (Takeover.TIMED, None, False),
        (Takeover.FENCED, 1.0, False),
    ],
)
def test_guarded_holder_is_waited_out(
    node: SmallNode,
    monkeypatch: pytest.MonkeyPatch,
    takeover: Takeover,
    drain_s: float | None,
    moves: bool,
) -> None:
    """Without a fence: only with takeover=timed, a bounded drain, and a silence that covers it."""
    unfenceable(monkeypatch, drain_s)
    monkeypatch.setattr(node.node.backends, "takeover", lambda _: takeover)
    if not moves:
        with pytest.raises(HeldElsewhere):
            node.ladder.up("data")
        assert node.leases.condemnations() == []
        return
    node.ladder.up("data")
    [kept] = node.leases.condemnations()
    assert kept.reason.startswith("guard level 1 has stopped it: it was silent for")
    assert fenced(node) == 0


def given_up(node: SmallNode, holder: SmallNode, state: FenceState) -> None:
    """Let the taker cut the holder off, and find out that it is back."""
    lease = lapsed(node)
    node.leases.note_fence(lease, FenceState.REQUIRED)
    if state is not FenceState.REQUIRED:
        node.leases.note_fence(lease, state, "as it went")
    holder.leases.renew()


@pytest.mark.parametrize("state", [FenceState.REQUIRED, FenceState.FAILED, FenceState.DONE])
def test_holder_that_was_cut_off_and_came_back_mounts_anew(
    node: SmallNode, holder: SmallNode, state: FenceState
) -> None:
    """Its lease stands, but the storage may refuse its mount: the next Mount makes another."""
    given_up(node, holder, state)
    attached = [verb for verb, _ in holder.cloud.calls].count("attach")
    [before] = holder.leases.leases("data")
    holder.ladder.up("data")
    [after] = holder.leases.leases("data")
    assert (after.node, after.state) == ("n2", LeaseState.LIVE)
    assert after.token > before.token
    assert [verb for verb, _ in holder.cloud.calls].count("attach") == attached + 1
    holder.ladder.up("data")
    assert holder.leases.leases("data") == [after]


def test_mount_that_is_used_and_surely_cut_off_is_not_handed_out(
    node: SmallNode, holder: SmallNode
) -> None:
    """A container beside others gets it only where the fence may never have come."""
    given_up(node, holder, FenceState.REQUIRED)
    [lease] = holder.leases.leases("data")
    with holder.host.use("data"):
        assert holder.ladder.up("data") == holder.host.path("data")
        holder.leases.note_fence(lease, FenceState.DONE, "it is refused")
        with pytest.raises(VolumeInUse):
            holder.ladder.up("data")
    assert holder.leases.leases("data") == [lease]


def test_returned_node_is_cleaned_before_it_gets_anything(
    node: SmallNode, holder: SmallNode
) -> None:
    """It takes down what was taken, unflushed, tells so, and only then gets a new lease."""
    holder.create("logs")
    node.ladder.up("data")
    with pytest.raises(HeldElsewhere, match="'n2' gets no new lease"):
        holder.ladder.up("logs")
    assert holder.host.path("data") is not None
    assert node.leases.nodes()[1].quarantine is not Quarantine.CLEAN
    holder.keeper._clean_up()
    holder.settle()
    assert holder.host.path("data") is None
    assert holder.leases.stale() == []
    holder.ladder.up("logs")
    events = [entry.event for entry in holder.node.journal.entries("data")]
    assert Event.READMIT in events


def test_used_volume_keeps_its_node_out(node: SmallNode, holder: SmallNode) -> None:
    """While a container uses what was taken, its node is not clean."""
    node.ladder.up("data")
    with holder.host.use("data"):
        holder.keeper._clean_up()
        holder.settle()
        assert len(holder.leases.stale()) == 1
        with pytest.raises(HeldElsewhere, match="held by node 'n1'"):
            holder.ladder.up("data")
    holder.keeper._clean_up()
    holder.settle()
    assert holder.leases.stale() == []


def test_what_was_taken_is_not_flushed(
    node: SmallNode, holder: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is discarded, on whatever way down it goes; what is ours is unmounted as ever."""
    discarded: list[str] = []
    monkeypatch.setattr(holder.host, "discard", discarded.append)
    holder.create("logs")
    holder.leases.renew()
    holder.ladder.up("logs")
    silence(node)
    node.ladder.up("data")
    holder.ladder.down("logs")
    assert discarded == []
    holder.ladder.down("data")
    assert discarded == ["data"]


def test_enforcement_is_told(node: SmallNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """What inspect says is the level and what a takeover would need, for a volume in use or not."""
    assert str(node.administration.inspect("data")["enforcement"]).startswith("3 (the storage")
    unfenceable(monkeypatch, drain_s=None)
    node.leases.renew(guard_level=2)
    node.ladder.up("data")
    said = str(node.administration.inspect("data")["enforcement"])
    assert said.startswith("2 (")
    assert "lease evict" in said


def test_lease_of_another_life_has_no_guard(node: SmallNode) -> None:
    """A field that no longer belongs to the present incarnation is not taken for its word."""
    node.ladder.up("data")
    [lease] = node.leases.leases()
    assert lease.incarnation == node.leases.nodes()[0].incarnation
    assert replace(lease, incarnation=99) == lease
