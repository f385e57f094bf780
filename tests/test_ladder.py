"""The promises of ladder.py: one way up, one way down, and the lease goes last."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded, HeldElsewhere, Unavailable, VolumeInUse, VolumeNotFound
from volplug.ladder import Ladder
from volplug.lease import Lease
from volplug.session import Session
from volplug.testing import MemoryLeases
from volplug.volume import AccessMode


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node with a volume `data`."""
    node = SmallNode(tmp_path)
    node.create("data")
    return node


def attached(node: SmallNode) -> list[str]:
    """List the nodes that the cloud says have the volume."""
    [volume] = node.cloud.volumes.values()
    return sorted(volume.nodes)


def test_up_leases_attaches_and_stages(node: SmallNode) -> None:
    """After the way up all three rungs hold, and the path is the host's."""
    path = node.ladder.up("data")
    assert path == node.host.path("data")
    assert node.leases.mine("data") is not None
    assert attached(node) == ["n1"]


def test_up_again_touches_no_backend(node: SmallNode) -> None:
    """What is up already answers from this node alone, with the backend down."""
    path = node.ladder.up("data")
    node.cloud.fail("attach", Unavailable("away"))
    assert node.ladder.up("data") == path


def test_up_mounts_again_what_vanished(node: SmallNode) -> None:
    """A record is a hint: a mount that is gone is made again."""
    node.ladder.up("data")
    node.host.vanish("data")
    assert node.ladder.up("data") == node.host.path("data") is not None


def test_down_undoes_it_all_ten_times(node: SmallNode) -> None:
    """After the way down nothing is held; what is not here is success."""
    node.ladder.up("data")
    for _ in range(10):
        node.ladder.down("data")
    assert node.leases.leases() == []
    assert node.host.staged() == set()
    assert attached(node) == []


def test_a_failed_way_up_comes_down_again(node: SmallNode) -> None:
    """When attach fails the lease is given back, so that another node may try."""
    node.cloud.fail("attach", Unavailable("away"))
    with pytest.raises(Unavailable):
        node.ladder.up("data")
    assert node.leases.leases() == []
    assert node.host.staged() == set()


def test_down_stops_at_the_first_failure_and_keeps_the_lease(node: SmallNode) -> None:
    """If the backend cannot detach, nobody else gets the volume, and a later try ends it."""
    node.ladder.up("data")
    node.cloud.fail("detach", Unavailable("away"))
    with pytest.raises(Unavailable):
        node.ladder.down("data")
    assert node.leases.mine("data") is not None
    node.ladder.down("data")
    assert node.leases.leases() == []


def test_down_is_refused_while_somebody_has_it_mounted(node: SmallNode) -> None:
    """A process that uses the volume keeps all of it."""
    node.ladder.up("data")
    with node.host.use("data"), pytest.raises(VolumeInUse):
        node.ladder.down("data")
    assert node.host.path("data") is not None
    assert node.leases.mine("data") is not None


def test_a_second_node_is_refused_with_holder_and_since(node: SmallNode, tmp_path: Path) -> None:
    """Single-writer means one node; the sentence says which, and since when."""
    other = SmallNode(tmp_path, "n2", beside=node)
    node.ladder.up("data")
    with pytest.raises(HeldElsewhere, match=r"data.*n1.*since"):
        other.ladder.up("data")
    assert attached(node) == ["n1"]


def test_a_refused_node_gets_it_after_the_release(node: SmallNode, tmp_path: Path) -> None:
    """After the first node's way down the second one goes up."""
    other = SmallNode(tmp_path, "n2", beside=node)
    node.ladder.up("data")
    node.ladder.down("data")
    other.ladder.up("data")
    assert attached(node) == ["n2"]


def test_a_store_that_answers_nothing_in_time_is_told_as_that(node: SmallNode) -> None:
    """Out of time before the first answer is DeadlineExceeded, for nobody was found to hold it."""

    class Slow(MemoryLeases):
        def acquire(self, volume: str, access: AccessMode) -> Lease:
            wait_until(lambda: False, f"a lease of volume {volume!r} as {access}", poll_s=0.01)
            raise AssertionError

    slow = Ladder(replace(node.node, leases=Slow("n2", beside=node.leases)), wait_s=0.05)
    with pytest.raises(DeadlineExceeded, match="a lease of volume 'data'"):
        slow.up("data")


def test_shared_lets_both_in(node: SmallNode, tmp_path: Path) -> None:
    """access=shared excludes nobody."""
    other = SmallNode(tmp_path, "n2", beside=node)
    node.create("both", {"access": "shared"})
    node.ladder.up("both")
    other.ladder.up("both")
    assert [lease.access for lease in node.leases.leases("both")] == [AccessMode.SHARED] * 2


def test_a_broken_lease_is_not_used_any_more(node: SmallNode) -> None:
    """Once condemned, the way up is refused while used, and then begins with a new token."""
    node.ladder.up("data")
    before = node.leases.mine("data")
    assert before is not None
    node.leases.condemn(before, by="me", reason="test")
    with node.host.use("data"), pytest.raises(VolumeInUse):
        node.ladder.up("data")
    node.ladder.up("data")
    after = node.leases.mine("data")
    assert after is not None
    assert after.token > before.token


def silence(node: SmallNode) -> None:
    """Let every other node's session be silent for longer than a holder may write."""
    node.leases.leases()
    node.clock.sleep(60)
    node.leases.renew()


def test_a_silent_holder_is_fenced_before_its_lease_moves(node: SmallNode, tmp_path: Path) -> None:
    """The storage cuts it off, the proof is kept, and only then does this node get the volume."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.ladder.up("data")
    silence(node)
    node.ladder.up("data")
    verbs = [verb for verb, _ in node.cloud.calls]
    assert verbs.index("fence") > verbs.index("attach")
    assert attached(node) == ["n1"]
    [kept] = node.leases.condemnations("data")
    assert (kept.node, kept.reason) == ("n2", "the fake cloud took data from n2")


def test_a_fence_is_finished_when_the_wait_is_over(node: SmallNode, tmp_path: Path) -> None:
    """However long the storage takes, who has had the holder cut off gets the volume."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.ladder.up("data")
    silence(node)
    ladder = Ladder(node.node, wait_s=0.0)
    with ThreadPoolExecutor(1) as pool:
        with node.cloud.hanging("fence"):
            up = pool.submit(ladder.up, "data")
            with deadline(10):
                wait_until(lambda: ("fence", "data") in node.cloud.calls, "a fence to begin")
        assert up.result(10) == node.host.path("data") is not None
    assert attached(node) == ["n1"]


def test_a_living_holder_is_not_fenced(node: SmallNode, tmp_path: Path) -> None:
    """A refusal alone cuts nobody off."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.ladder.up("data")
    with pytest.raises(HeldElsewhere):
        node.ladder.up("data")
    assert "fence" not in [verb for verb, _ in node.cloud.calls]


def test_no_proof_no_move(node: SmallNode, tmp_path: Path) -> None:
    """When the storage cannot confirm the fence, the lease stays where it is."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.ladder.up("data")
    silence(node)
    node.cloud.fail("fence", Unavailable("the cloud is away"), times=10**6)
    with pytest.raises(HeldElsewhere, match=r"n2.*silent since"):
        node.ladder.up("data")
    assert [lease.node for lease in node.leases.leases("data")] == ["n2"]
    assert node.leases.condemnations("data") == []


def test_a_fenced_node_that_comes_back_mounts_anew(node: SmallNode, tmp_path: Path) -> None:
    """What it had mounted is worthless: it is refused while used, and taken down first."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.ladder.up("data")
    silence(node)
    node.ladder.up("data")
    node.ladder.down("data")
    with other.host.use("data"), pytest.raises(VolumeInUse):
        other.ladder.up("data")
    other.ladder.up("data")
    assert attached(node) == ["n2"]


def test_what_was_lost_is_not_found_again_under_a_new_lease(
    node: SmallNode, tmp_path: Path
) -> None:
    """The grant's answer may be lost: what stayed here of before must be gone by then."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.ladder.up("data")
    silence(node)
    node.ladder.up("data")
    node.ladder.down("data")

    class Deaf(MemoryLeases):
        def acquire(self, volume: str, access: AccessMode) -> Lease:
            super().acquire(volume, access)
            raise Unavailable("the answer was lost")

    session = Session("n2", "boot-1", "hw-n2", "deaf")
    deaf = replace(other.node, leases=Deaf(session, beside=node.leases, clock=node.clock))
    with pytest.raises(Unavailable):
        Ladder(deaf, wait_s=0.05).up("data")
    other.restart()
    other.ladder.up("data")
    assert attached(node) == ["n2"]


def test_a_grant_that_was_taken_before_the_attach_is_not_used(
    node: SmallNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine may stand still between lease and attach: then there was nobody to cut off."""
    other = SmallNode(tmp_path, "n2", beside=node)
    stops = ["up.leased"]

    def stand_still(step: str) -> None:
        if step in stops:
            stops.remove(step)
            silence(other)
            other.ladder.up("data")

    monkeypatch.setattr("volplug.ladder.crashpoint", stand_still)
    with pytest.raises(HeldElsewhere, match="held by node 'n2'"):
        node.ladder.up("data")
    assert node.host.path("data") is None
    assert other.host.path("data") is not None


def test_a_lost_volume_that_is_used_here_is_told_to_be_elsewhere(
    node: SmallNode, tmp_path: Path
) -> None:
    """Who has it now is the news; that its old mount is in use still can be seen here."""
    other = SmallNode(tmp_path, "n2", beside=node)
    other.ladder.up("data")
    silence(node)
    node.ladder.up("data")
    with other.host.use("data"), pytest.raises(HeldElsewhere, match="held by node 'n1'"):
        other.ladder.up("data")


def test_up_of_nothing(node: SmallNode) -> None:
    """There is a sentence for a volume that does not exist."""
    with pytest.raises(VolumeNotFound, match="there is no volume 'other'"):
        node.ladder.up("other")
