"""How soon a waiting Mount has the volume after a clean release, on a clock that a test turns."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug.deadline import clock
from volplug.ladder import Ladder
from volplug.testing import FakeClock

LIMIT_S = 1.0
"""What is promised: leases.md I15."""


class Day(FakeClock):
    """A clock on which something happens at a moment."""

    def __init__(self, happens: Callable[[], None], at_s: float) -> None:
        super().__init__()
        self._happens = happens
        self._at_s = at_s
        self.happened_s = float("nan")

    def sleep(self, seconds: float) -> None:
        """Let time pass, and happen what is due."""
        super().sleep(seconds)
        if self.now() >= self._at_s:
            self._at_s = float("inf")
            self.happened_s = self.now()
            self._happens()


@pytest.mark.parametrize("wait_s", [1.3, 4.9, 12.0, 19.7])
def test_waiting_mount_follows_a_release(tmp_path: Path, wait_s: float) -> None:
    """Whenever the holder lets go, whoever waits has the volume within a second."""
    node = SmallNode(tmp_path)
    node.create("data")
    other = SmallNode(tmp_path, "n2", beside=node)
    node.ladder.up("data")
    day = Day(lambda: node.ladder.down("data"), wait_s)
    with clock(day):
        Ladder(other.node, wait_s=20.0).up("data")
        granted_s = day.now()
    assert [lease.node for lease in node.leases.leases("data")] == ["n2"]
    assert granted_s - day.happened_s <= LIMIT_S
    assert granted_s - wait_s <= LIMIT_S
