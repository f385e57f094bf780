"""The promises of keeper.py: nothing depends on a call that says "clean up"."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_node import GRACE_S, SmallNode
from volplug.catalog import RecordState
from volplug.deadline import deadline, wait_until
from volplug.errors import Unavailable
from volplug.keeper import FIRST_RETRY_S

SOON_S = 10.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[SmallNode]:
    """A node with a volume `data`, whose keeper is stopped at the end."""
    node = SmallNode(tmp_path)
    node.create("data")
    yield node
    node.keeper.stop()


def gone(node: SmallNode, volume: str = "data") -> bool:
    """Say whether the volume has left the node altogether."""
    return not node.leases.leases(volume) and volume not in node.host.staged()


def wait_gone(node: SmallNode, volume: str = "data") -> None:
    """Wait until the volume has left the node."""
    with deadline(SOON_S):
        wait_until(lambda: gone(node, volume), "the way down", poll_s=0.01)


def tried_again(node: SmallNode, volume: str) -> bool:
    """Say whether the keeper found the volume in use and means to come back."""
    visit = node.keeper._visits.get(volume)
    return visit is not None and visit.retry_s > FIRST_RETRY_S


def test_the_last_unmount_is_followed_by_the_way_down(node: SmallNode) -> None:
    """Unmount answers at once, and the volume leaves soon after."""
    node.keeper.start()
    node.service.mount("data", "c1")
    node.service.unmount("data", "c1")
    wait_gone(node)
    with deadline(SOON_S):
        wait_until(lambda: node.table.rows() == [], "the row to go, which is last", poll_s=0.01)


def test_a_volume_still_in_use_is_visited_again(node: SmallNode) -> None:
    """A process that lingers after its Unmount delays the way down and does not cancel it."""
    node.keeper.start()
    node.service.mount("data", "c1")
    with node.host.use("data"):
        node.service.unmount("data", "c1")
        with deadline(SOON_S):
            wait_until(lambda: tried_again(node, "data"), "the first try", poll_s=0.01)
        assert node.leases.mine("data") is not None
    wait_gone(node)


def test_a_start_takes_down_what_a_crash_left_up(node: SmallNode) -> None:
    """A volume that is up without any row (death between stage and row) comes down."""
    node.ladder.up("data")
    node.restart()
    node.keeper.start()
    wait_gone(node)


def test_a_start_keeps_what_a_row_names(node: SmallNode) -> None:
    """A restart in the middle of containers' lives takes nothing from them."""
    node.service.mount("data", "c1")
    node.restart()
    node.keeper.reconcile()
    node.mounts.drain("data")
    assert node.host.path("data") is not None
    assert node.leases.mine("data") is not None


def test_a_reboot_frees_everything(node: SmallNode) -> None:
    """After a reboot nothing of before is in use, and nothing is mounted any more."""
    node.service.mount("data", "c1")
    node.host.vanish("data")
    node.restart(boot_id="boot-2")
    node.keeper.start()
    wait_gone(node)
    assert node.table.rows() == []


def test_an_orphan_leaks_no_lease_after_the_grace(node: SmallNode) -> None:
    """A container that died without an Unmount frees its volume after the grace."""
    node.service.mount("data", "c1")
    node.keeper.reconcile()
    node.clock.sleep(GRACE_S + 1)
    node.keeper.start()
    wait_gone(node)


def test_half_made_and_half_deleted_volumes_are_finished(node: SmallNode) -> None:
    """Each look finishes what an unreachable backend had left."""
    node.cloud.fail("create", Unavailable("away"), done=True)
    with pytest.raises(Unavailable):
        node.create("new")
    node.cloud.fail("delete", Unavailable("away"))
    with pytest.raises(Unavailable):
        node.service.remove("data")
    node.keeper.reconcile()
    with deadline(SOON_S):
        wait_until(lambda: node.catalog.get("data") is None, "the deletion", poll_s=0.01)
        wait_until(lambda: node.record("new").state is RecordState.READY, "the making", poll_s=0.01)


def test_use_without_a_lease_is_told(
    node: SmallNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A node whose lease was taken while it was silent says which containers to stop."""
    node.create("logs")
    node.service.mount("data", "c1")
    node.service.mount("logs", "c2")
    node.keeper.reconcile()
    assert caplog.messages == []
    other = SmallNode(tmp_path, "n2", beside=node)
    (lease,) = other.leases.leases("data")
    other.leases.condemn(lease, by="alice", reason="off")
    node.keeper.reconcile()
    assert [message.split(" is used here")[0] for message in caplog.messages] == ["volume=data"]


def test_a_sick_backend_does_not_stop_the_keeper(node: SmallNode) -> None:
    """A volume whose backend hangs delays no other volume's way down."""
    node.create("sick")
    node.service.mount("sick", "c1")
    node.service.mount("data", "c2")
    node.keeper.start()
    with node.cloud.hanging("detach", "sick"):
        node.service.unmount("sick", "c1")
        node.service.unmount("data", "c2")
        wait_gone(node)
        assert not gone(node, "sick")
    wait_gone(node, "sick")
