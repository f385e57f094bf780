"""The promises of membership.py: what a person's word frees, and what it does not."""

import re
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug.errors import HeldElsewhere, InvalidOptions, VolumeInUse, VolumeNotFound
from volplug.event import Event
from volplug.lease import LeaseState


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node `n1` with three volumes."""
    node = SmallNode(tmp_path)
    for name in ("data", "logs", "media"):
        node.create(name)
    return node


@pytest.fixture
def other(node: SmallNode, tmp_path: Path) -> SmallNode:
    """A node `n2` that has two of them mounted."""
    other = SmallNode(tmp_path, "n2", beside=node)
    for name in ("data", "logs"):
        other.ladder.up(name)
    return other


def silence(node: SmallNode, seconds: float = 60) -> None:
    """Let all other nodes be silent."""
    node.leases.leases()
    node.leases.nodes()
    node.clock.sleep(seconds)
    node.leases.renew()


@pytest.mark.usefixtures("other")
def test_evict_frees_all_leases_at_once(node: SmallNode) -> None:
    """Each is condemned with who, why and when; the answer lists them and says what is next."""
    silence(node)
    said = node.administration.membership.evict("n2", by="anna@n1", reason="its plug is out")
    assert "'data', 'logs'" in said
    assert "goes to the next Mount" in said
    assert {lease.state for lease in node.leases.leases()} == {LeaseState.CONDEMNED}
    kept = [(one.by, one.reason, one.volume) for one in node.leases.condemnations()]
    assert kept == [("anna@n1", "its plug is out", name) for name in ("data", "logs")]
    assert Event.EVICT in [entry.event for entry in node.node.journal.entries()]
    assert node.leases.fences() == []
    node.ladder.up("data")


@pytest.mark.usefixtures("other")
def test_evict_again_changes_nothing(node: SmallNode) -> None:
    """Ten times is once."""
    silence(node)
    node.administration.membership.evict("n2", by="anna", reason="off")
    kept = node.leases.condemnations()
    for _ in range(10):
        assert "nothing was changed" in node.administration.membership.evict(
            "n2", by="bob", reason="still off"
        )
    assert node.leases.condemnations() == kept


@pytest.mark.usefixtures("other")
def test_living_node_is_not_evicted(node: SmallNode) -> None:
    """Heard of within W: refused, with how long it was silent, how long is left, and the way."""
    silence(node, seconds=10)
    with pytest.raises(VolumeInUse) as refusal:
        node.administration.membership.evict("n2", by="anna", reason="off")
    said = str(refusal.value)
    assert re.search(r"heard of 10 s ago.*repeat this in 6 s.*stopping its containers", said)
    assert {lease.state for lease in node.leases.leases()} == {LeaseState.LIVE}


@pytest.mark.usefixtures("other")
def test_evict_wants_a_reason_and_a_node(node: SmallNode) -> None:
    """An empty reason and an unknown node are refused in a sentence."""
    silence(node)
    with pytest.raises(InvalidOptions, match="a reason is wanted"):
        node.administration.membership.evict("n2", by="anna", reason=" ")
    with pytest.raises(VolumeNotFound, match=r"no node 'n9' \(known: n1, n2\)"):
        node.administration.membership.evict("n9", by="anna", reason="off")


def test_evicted_node_that_comes_back_is_kept_out(node: SmallNode, other: SmallNode) -> None:
    """Whoever was wrong about the plug: the node gets nothing before it has cleaned up."""
    silence(node)
    node.administration.membership.evict("n2", by="anna", reason="off")
    with pytest.raises(HeldElsewhere, match="gets no new lease"):
        other.ladder.up("media")
    rows = {row["node"]: row["quarantine"] for row in node.administration.membership.nodes()}
    assert rows["n2"] != "clean"
    assert node.administration.inspect("data")["quarantined"] == {"n2": rows["n2"]}


@pytest.mark.usefixtures("other")
def test_nodes_are_told(node: SmallNode) -> None:
    """Each with its presence, silence, guard, quarantine and the number of its leases."""
    silence(node)
    mine, its = node.administration.membership.nodes()
    assert (mine["node"], mine["presence"], mine["leases"], mine["this_node"]) == (
        *("n1", "alive", 0, True),
    )
    assert (its["node"], its["presence"], its["leases"], its["silent_s"]) == (
        *("n2", "silent", 2, 60.0),
    )


def test_forget(node: SmallNode, other: SmallNode) -> None:
    """Only a node that is silent and holds nothing; repeating is success."""
    membership = node.administration.membership
    with pytest.raises(VolumeInUse, match="heard of"):
        membership.forget("n2")
    for name in ("data", "logs"):
        other.ladder.down(name)
    silence(node)
    assert "is forgotten" in membership.forget("n2")
    for _ in range(2):
        assert "no node 'n2' (known: n1); nothing was changed" in membership.forget("n2")
    assert [row["node"] for row in membership.nodes()] == ["n1"]
