"""The loop driver keeps the contract, on file systems that can share blocks and on others."""

from pathlib import Path

import pytest

from tests.drivers.conftest import MakeDisk
from volplug.sdk import Size
from volplug.testing import (
    CloneableContract,
    DriverContract,
    ExpandableContract,
    SnapshottableContract,
)
from volplug_loop import LoopConfig, LoopDriver, LoopOptions


class TestThickImages(DriverContract, ExpandableContract, CloneableContract, SnapshottableContract):
    """Fully allocated images."""

    @pytest.fixture
    def driver(self, tmp_path: Path) -> LoopDriver:
        """Return a driver whose root does not exist yet."""
        return LoopDriver(LoopConfig(root=tmp_path / "images"))

    @pytest.fixture
    def options(self) -> LoopOptions:
        """Return options for the smallest image."""
        return LoopOptions(size=Size.parse("16M"))


@pytest.mark.root
class TestImagesThatShareBlocks(TestThickImages):
    """Images on a file system where a clone costs nothing."""

    @pytest.fixture
    def driver(self, make_disk: MakeDisk) -> LoopDriver:
        """Return a driver on an xfs of its own."""
        return LoopDriver(LoopConfig(root=make_disk("xfs") / "images"))


class TestThinImages(TestThickImages):
    """Images that take space when they are written."""

    @pytest.fixture
    def options(self) -> LoopOptions:
        """Return options for the smallest image that has a hole."""
        return LoopOptions(size=Size.parse("16M"), thin=True)
