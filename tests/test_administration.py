"""The promises of administration.py: what an operator sees, and when a lease may be broken."""

import json
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug.errors import InvalidOptions, Unavailable, VolumeInUse, VolumeNotFound
from volplug.event import Event


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node with a volume `data`."""
    node = SmallNode(tmp_path)
    node.create("data", {"size": "2G"})
    return node


def test_volumes_show_half_made_ones_too(node: SmallNode) -> None:
    """What users do not see yet, operators do."""
    node.cloud.fail("create", Unavailable("away"))
    with pytest.raises(Unavailable):
        node.create("new")
    rows = {row["name"]: row["state"] for row in node.administration.volumes()}
    assert rows == {"data": "ready", "new": "creating"}


def test_inspect_tells_everything_as_json(node: SmallNode) -> None:
    """Options, leases, mounts and the handle; nothing that cannot be printed."""
    node.service.mount("data", "c1")
    found = node.administration.inspect("data")
    assert json.loads(json.dumps(found)) == found
    assert found["options"] == {"size": "2G"}
    assert found["handle"] in node.cloud.volumes
    assert [lease["node"] for lease in found["leases"]] == ["n1"]
    assert [mount["id"] for mount in found["mount_ids"]] == ["c1"]


def test_inspect_of_the_unknown(node: SmallNode) -> None:
    """There is a sentence for it."""
    with pytest.raises(VolumeNotFound, match="'other'"):
        node.administration.inspect("other")


def test_release_wants_a_reason(node: SmallNode) -> None:
    """Taking a lease by hand without saying why is refused."""
    node.service.mount("data", "c1")
    with pytest.raises(InvalidOptions, match="a reason is wanted"):
        node.administration.release("data", by="me", reason=" ")


def test_release_is_refused_while_used_here(node: SmallNode) -> None:
    """Breaking the lease under a running container would let a second writer in."""
    node.service.mount("data", "c1")
    with pytest.raises(VolumeInUse, match="stop its container first"):
        node.administration.release("data", by="me", reason="test")
    assert node.leases.mine("data") is not None


def test_release_takes_an_unused_volume_down_and_keeps_the_reason(node: SmallNode) -> None:
    """A lease that hangs on is broken, and the record of it stays."""
    node.ladder.up("data")
    said = node.administration.release("data", by="me", reason="hung on")
    assert said == "the lease of volume 'data' was taken from n1"
    assert node.host.staged() == set()
    [kept] = node.administration.inspect("data")["condemned"]
    assert (kept["node"], kept["by"], kept["reason"]) == ("n1", "me", "hung on")
    node.service.mount("data", "c1")


def test_release_of_a_living_nodes_lease_is_refused(node: SmallNode, tmp_path: Path) -> None:
    """A node that still renews may still write."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.service.mount("data", "c1")
    with pytest.raises(VolumeInUse, match="node 'n2', which is alive"):
        node.administration.release("data", by="me", reason="test")


def test_release_of_a_silent_nodes_lease_lets_the_next_in(node: SmallNode, tmp_path: Path) -> None:
    """Once its session was silent for long enough, an operator's word moves the lease."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.service.mount("data", "c1")
    node.leases.leases()
    node.clock.sleep(60)
    node.leases.renew()
    node.administration.release("data", by="me", reason="n2 burnt down")
    told = [(each.event, each.node) for each in node.administration.journal("data")]
    assert (Event.QUARANTINE, "n2") in told
    node.service.mount("data", "c2")
    assert [lease.node for lease in node.leases.leases("data")] == ["n1"]


def test_release_of_what_is_not_leased_changes_nothing(node: SmallNode) -> None:
    """It says so."""
    assert "not leased" in node.administration.release("data", by="me", reason="test")
