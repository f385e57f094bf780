"""The fake keeps the real drivers' contract, as shares and as disks."""

import pytest

from volplug.testing import (
    CloneableContract,
    DriverContract,
    ExpandableContract,
    FakeConfig,
    FakeDriver,
    FakeOptions,
    FencingContract,
    SnapshottableContract,
)


class TestFakeShares(
    DriverContract, ExpandableContract, CloneableContract, FencingContract, SnapshottableContract
):
    """Volumes that are shares."""

    @pytest.fixture
    def driver(self) -> FakeDriver:
        """Return a driver with a cloud of its own."""
        return FakeDriver(FakeConfig())

    @pytest.fixture
    def reopened(self, driver: FakeDriver) -> FakeDriver:
        """Return a second driver of the same cloud."""
        return FakeDriver(driver.config, driver.cloud)

    @pytest.fixture
    def options(self) -> FakeOptions:
        """Return the defaults."""
        return FakeOptions()


class TestFakeDisks(TestFakeShares):
    """Volumes that are disks."""

    @pytest.fixture
    def options(self) -> FakeOptions:
        """Ask for a disk."""
        return FakeOptions(disk=True)
