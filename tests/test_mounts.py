"""The rules over mount IDs (docker-contract 3.5), each with the trace that makes it needed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.small_node import GRACE_S, SmallNode
from volplug.errors import HeldElsewhere, Unavailable, VolumeInUse


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node with a volume `data`."""
    node = SmallNode(tmp_path)
    node.create("data")
    return node


def counts(node: SmallNode, volume: str = "data") -> dict[str, int]:
    """Map the IDs of a volume's rows to their counts."""
    return {row.mount_id: row.count for row in node.table.rows(volume)}


def test_mount_is_recorded_with_epoch_and_boot(node: SmallNode) -> None:
    """L1: the row is there when the answer is."""
    node.mounts.new_epoch()
    node.mounts.mount("data", "c1")
    [row] = node.table.rows("data")
    assert (row.node, row.mount_id, row.count, row.epoch, row.boot_id) == (
        "n1",
        "c1",
        1,
        1,
        "boot-1",
    )


def test_docker_cp_does_not_end_a_running_containers_use(node: SmallNode) -> None:
    """`docker cp` mounts and unmounts with the ID that the container holds."""
    node.mounts.mount("data", "c1")
    node.mounts.mount("data", "c1")
    assert not node.mounts.unmount("data", "c1")
    assert counts(node) == {"c1": 1}
    assert node.mounts.unmount("data", "c1")


def test_the_old_id_after_a_host_reset_counts_once(node: SmallNode) -> None:
    """L3: after a reset the engine mounts with the old ID and will unmount once."""
    node.mounts.mount("data", "c1")
    node.host.vanish("data")
    node.restart(boot_id="boot-2")
    node.mounts.new_epoch()
    node.mounts.mount("data", "c1")
    assert node.mounts.unmount("data", "c1")


def test_the_old_id_after_an_engine_crash_counts_once_if_nobody_has_it(node: SmallNode) -> None:
    """L3: the engine died with the container, and the same ID comes again."""
    node.mounts.mount("data", "c1")
    node.mounts.new_epoch()
    node.mounts.mount("data", "c1")
    assert counts(node) == {"c1": 1}


def test_the_old_id_of_a_living_container_counts_on(node: SmallNode) -> None:
    """L3: under live-restore a `docker cp` comes with the ID of a container that still runs."""
    node.mounts.mount("data", "c1")
    node.mounts.new_epoch()
    with node.host.use("data"):
        node.mounts.mount("data", "c1")
        assert not node.mounts.unmount("data", "c1")


def test_unmount_of_the_unknown_is_success(node: SmallNode) -> None:
    """L4: unknown ID, unknown volume, too many: none fails and none goes below zero."""
    node.mounts.unmount("data", "never")
    node.mounts.unmount("never", "c1")
    node.mounts.mount("data", "c1")
    for _ in range(10):
        node.mounts.unmount("data", "c1")
    assert counts(node) == {"c1": 0}


def test_no_id_is_one_user(node: SmallNode) -> None:
    """Mesos' dvdcli sends no ID, many Mounts and one Unmount."""
    for _ in range(3):
        node.mounts.mount("data", "")
    assert node.mounts.unmount("data", "")


def test_drain_takes_down_what_nobody_uses(node: SmallNode) -> None:
    """L5: after the last use, mount, lease and rows go."""
    node.mounts.mount("data", "c1")
    node.mounts.unmount("data", "c1")
    node.mounts.drain("data")
    assert node.leases.leases() == []
    assert node.table.rows() == []
    assert node.host.staged() == set()


def test_drain_leaves_what_has_a_row(node: SmallNode) -> None:
    """Another container's row keeps the volume."""
    node.mounts.mount("data", "c1")
    node.mounts.mount("data", "c2")
    node.mounts.unmount("data", "c1")
    node.mounts.drain("data")
    assert node.host.path("data") is not None
    assert node.leases.mine("data") is not None


def test_drain_leaves_what_a_process_has(node: SmallNode) -> None:
    """L6: rows at zero but a live mount keep the lease, whatever the books say."""
    node.mounts.mount("data", "c1")
    node.mounts.unmount("data", "c1")
    with node.host.use("data"), pytest.raises(VolumeInUse):
        node.mounts.drain("data")
    assert node.leases.mine("data") is not None
    node.mounts.drain("data")
    assert node.leases.leases() == []


def test_drain_leaves_what_is_just_being_given(
    node: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Mount in flight counts as a use before its row is written."""
    inside, release = threading.Event(), threading.Event()
    up = node.ladder.up

    def slow_up(name: str) -> Path:
        path = up(name)
        inside.set()
        release.wait(10)
        return path

    monkeypatch.setattr(node.ladder, "up", slow_up)
    with ThreadPoolExecutor(1) as pool:
        mount = pool.submit(node.mounts.mount, "data", "c1")
        assert inside.wait(10)
        node.mounts.drain("data")
        assert node.host.path("data") is not None
        release.set()
        mount.result(10)
    assert counts(node) == {"c1": 1}


def test_a_failed_mount_leaves_no_row(node: SmallNode) -> None:
    """L7: what was not given is not counted."""
    node.cloud.fail("attach", Unavailable("away"))
    with pytest.raises(Unavailable):
        node.mounts.mount("data", "c1")
    assert node.table.rows() == []
    assert not node.mounts.in_use("data")


def test_reap_drops_rows_of_another_boot_at_once(node: SmallNode) -> None:
    """L6: no container of an earlier boot exists."""
    node.mounts.mount("data", "c1")
    node.restart(boot_id="boot-2")
    node.mounts.reap()
    assert node.table.rows() == []


def test_reap_waits_for_the_grace(node: SmallNode) -> None:
    """L6: a container's own mount appears some time after the answer to its Mount."""
    node.mounts.mount("data", "c1")
    node.mounts.reap()
    node.clock.sleep(GRACE_S - 1)
    node.mounts.reap()
    assert counts(node) == {"c1": 1}
    node.clock.sleep(2)
    node.mounts.reap()
    assert counts(node) == {}


def test_reap_begins_the_grace_anew_after_a_restart(node: SmallNode) -> None:
    """A restarted volplug does not know how old a row is, and errs on the safe side."""
    node.mounts.mount("data", "c1")
    node.clock.sleep(GRACE_S + 1)
    node.restart()
    node.mounts.reap()
    assert counts(node) == {"c1": 1}
    node.clock.sleep(GRACE_S + 1)
    node.mounts.reap()
    assert counts(node) == {}


def test_reap_keeps_what_a_process_has(node: SmallNode) -> None:
    """A live container's row stays however old it is."""
    node.mounts.mount("data", "c1")
    with node.host.use("data"):
        node.mounts.reap()
        node.clock.sleep(10 * GRACE_S)
        node.mounts.reap()
    assert counts(node) == {"c1": 1}


def test_single_container_refuses_a_second_with_its_sentence(node: SmallNode) -> None:
    """L8, L9: the refusal names the volume, the node, since when and what to do."""
    node.create("one", {"access": "single-container"})
    node.mounts.mount("one", "c1")
    with pytest.raises(
        HeldElsewhere, match=r"'one' is held by another container on node 'n1' since .* UTC"
    ):
        node.mounts.mount("one", "c2")


def test_single_container_takes_the_same_id_again(node: SmallNode) -> None:
    """L8: `docker cp` and retries repeat the ID of the one container."""
    node.create("one", {"access": "single-container"})
    node.mounts.mount("one", "c1")
    node.mounts.mount("one", "c1")


def test_single_container_waits_for_the_first_to_go(node: SmallNode) -> None:
    """L9: a release within the wait lets the second one in."""
    node.create("one", {"access": "single-container"})
    node.mounts.mount("one", "c1")
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(node.mounts.mount, "one", "c2")
        node.mounts.unmount("one", "c1")
        assert second.result(10) is not None


def test_single_container_admits_one_of_many_at_once(node: SmallNode) -> None:
    """Eight simultaneous Mounts: one gets it, seven are refused."""
    node.create("one", {"access": "single-container"})

    def attempt(number: int) -> bool:
        try:
            node.mounts.mount("one", f"c{number}")
        except HeldElsewhere:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [False] * 7 + [True]


def test_single_container_forgets_an_orphan(node: SmallNode) -> None:
    """A container that died with its engine bars the next one only for the grace."""
    node.create("one", {"access": "single-container"})
    node.mounts.mount("one", "c1")
    node.clock.sleep(GRACE_S + 1)
    node.mounts.mount("one", "c2")


def test_many_at_once_go_up_once(node: SmallNode) -> None:
    """Eight containers that start together share one attach, and each has its row."""
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda number: node.mounts.mount("data", f"c{number}"), range(8)))
    assert len(paths) == 1
    assert counts(node) == {f"c{number}": 1 for number in range(8)}
    assert node.cloud.calls.count(("attach", "data")) == 1
