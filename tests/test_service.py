"""The promises of service.py that no other module makes: what listings tell, and what waits."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.small_node import NOW, SmallNode
from volplug.deadline import deadline
from volplug.errors import DeadlineExceeded, VolumeInUse


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node with a volume `data`."""
    node = SmallNode(tmp_path)
    node.create("data")
    return node


def test_get_tells_what_the_store_knows(node: SmallNode) -> None:
    """Backend, access and state stand in the status; the mountpoint only while mounted."""
    listing = node.service.get("data")
    assert listing is not None
    assert (listing.name, listing.created_at, listing.mountpoint) == ("data", NOW, None)
    assert listing.status == {"backend": "gold", "access": "single-writer", "state": "ready"}
    path = node.service.mount("data", "c1")
    listing = node.service.get("data")
    assert listing is not None
    assert listing.mountpoint == path
    assert str(listing.status["lease.n1"]).startswith("live since ")


def test_get_of_the_unknown_is_nothing(node: SmallNode) -> None:
    """Probing for any name is quiet."""
    assert node.service.get("other") is None


def test_list_tells_the_same_as_get(node: SmallNode) -> None:
    """One listing per volume, equal to the single one."""
    node.create("more", {"backend": "silver"})
    node.service.mount("data", "c1")
    assert node.service.list() == [node.service.get("data"), node.service.get("more")]


def test_reading_waits_for_no_backend(node: SmallNode) -> None:
    """While fifty Mounts hang on a dead backend, Get and List answer from the store."""
    for number in range(50):
        node.create(f"v{number}")

    def mount(number: int) -> None:
        with deadline(0.5), pytest.raises(DeadlineExceeded):
            node.service.mount(f"v{number}", "c")

    with node.cloud.hanging("attach"), ThreadPoolExecutor(50) as pool:
        mounts = [pool.submit(mount, number) for number in range(50)]
        with deadline(0.4):
            assert len(node.service.list()) == 51
            found = node.service.get("v0")
            assert found is not None
            assert str(found.status.get("operation", "mount")).startswith("mount")
        for one in mounts:
            one.result(10)


def test_remove_is_refused_while_mounted_here(node: SmallNode) -> None:
    """The refusal names the node, since when, and the mount."""
    node.service.mount("data", "0123456789abcdef")
    with pytest.raises(VolumeInUse, match=r"node 'n1' since .* by mount 0123456789ab: stop"):
        node.service.remove("data")


def test_remove_is_refused_while_a_process_has_it(node: SmallNode) -> None:
    """Even if the books are empty, as after an engine forgot the volume."""
    node.service.mount("data", "c1")
    node.service.unmount("data", "c1")
    with node.host.use("data"), pytest.raises(VolumeInUse):
        node.service.remove("data")
    assert node.cloud.volumes


def test_remove_does_not_wait_for_the_keeper(node: SmallNode) -> None:
    """`docker rm` and `docker volume rm` in one breath work."""
    node.service.mount("data", "c1")
    node.service.unmount("data", "c1")
    node.service.remove("data")
    assert node.service.get("data") is None
    assert node.leases.leases() == []


def test_remove_of_the_unknown_is_success(node: SmallNode) -> None:
    """As Docker's `rm -f` expects."""
    node.service.remove("other")
