"""Real `volplug serve` processes: a reboot of the same hardware gives its leases back at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.etcd.cluster import Cluster
from tests.etcd.test_two_nodes import Node, clean_up
from tests.machine import need_root
from volplug.deadline import deadline, wait_until

pytestmark = pytest.mark.root


@pytest.fixture
def nodes(cluster: Cluster, tmp_path: Path, prefix: str) -> Iterator[dict[str, Node]]:
    """Two nodes, not started yet, whose boots and hardware are files."""
    need_root()
    nodes = {name: Node(tmp_path / name, name, cluster, prefix) for name in "ab"}
    for node in nodes.values():
        node._settings |= {
            "VOLPLUG_BOOT_ID_FILE": str(node.directory / "boot"),
            "VOLPLUG_HARDWARE_ID_FILE": str(node.directory / "hardware"),
            "VOLPLUG_WAIT_S": "20",
        }
        (node.directory / "boot").write_text("boot-1")
        (node.directory / "hardware").write_text(f"hardware of {node.name}")
    try:
        yield nodes
    finally:
        for node in nodes.values():
            node.kill()
        clean_up(tmp_path)


def test_reboot_frees_leases_at_once(nodes: dict[str, Node]) -> None:
    """Whoever waits has the volume once the rebooted node is there again, on nobody's word.

    The driver cannot fence, so the lease of a silent node would have stayed for ever.
    """
    rebooted, waiter = nodes.values()
    for node in nodes.values():
        node.start()
    rebooted.call("/VolumeDriver.Create", Name="data")
    assert rebooted.mount("data") == ""
    rebooted.kill()
    clean_up(rebooted.directory)
    (rebooted.directory / "boot").write_text("boot-2")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(waiter.mount, "data")
        with deadline(30.0):
            wait_until(lambda: waits(waiter), "the other's wait")
        rebooted.start()
        refusal = waiting.result()
    if refusal:  # a machine so slow that the wait was over before the node had begun
        assert "is held by node 'a'" in refusal
        with deadline(60.0):
            wait_until(lambda: waiter.mount("data") == "", "the volume")
    assert [lease["node"] for lease in waiter.leases()] == ["b"]
    told = waiter.call("/Volplug.Inspect", Name="data")
    assert told is not None
    assert told["Volume"]["condemned"] == []


def waits(node: Node) -> bool:
    """Say whether a Mount waits on the node."""
    told = node.call("/Volplug.Why", Name="data")
    return bool(told and told["Why"]["waiting"])
