"""The health of mounts: told where users and operators look, and never waited for."""

import logging
from pathlib import Path

import pytest

from tests.small_node import SmallNode

_TROUBLE = "degraded: filer:/data has not answered since 2026-01-02T03:04:05Z"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallNode:
    """A node with a volume `sick`, which is mounted, and one `well`, which is not."""
    node = SmallNode(tmp_path)
    for name in ("sick", "well"):
        node.create(name)
    node.service.mount("sick", "c1")
    monkeypatch.setattr(node.host, "health", {"sick": _TROUBLE}.get)
    return node


def test_a_listing_tells_of_trouble(node: SmallNode) -> None:
    """Get and List show it in the status of the volume that has it, and of no other."""
    listing = node.service.get("sick")
    assert listing is not None
    assert listing.status["health"] == _TROUBLE
    listed = {listing.name: listing.status.get("health") for listing in node.service.list()}
    assert listed == {"sick": _TROUBLE, "well": None}


def test_a_change_is_logged_once(
    node: SmallNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The keeper's log says when a mount falls ill and when it is well again, and not each time."""
    caplog.set_level(logging.WARNING, "volplug.keeper")
    for _ in range(3):
        node.keeper.reconcile()
    assert [record.getMessage() for record in caplog.records] == [f"volume=sick {_TROUBLE}"]
    monkeypatch.setattr(node.host, "health", lambda _: "")
    for _ in range(3):
        node.keeper.reconcile()
    assert [record.getMessage() for record in caplog.records][1:] == ["volume=sick well again"]
