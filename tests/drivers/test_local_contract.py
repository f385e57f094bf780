"""The local driver keeps the contract."""

from pathlib import Path

import pytest

from volplug.testing import CloneableContract, DriverContract
from volplug_local import LocalConfig, LocalDriver, LocalOptions


class TestLocalDriver(DriverContract, CloneableContract):
    """Volumes in directories."""

    @pytest.fixture
    def driver(self, tmp_path: Path) -> LocalDriver:
        """Return a driver whose root does not exist yet."""
        return LocalDriver(LocalConfig(root=tmp_path / "volumes"))

    @pytest.fixture
    def options(self) -> LocalOptions:
        """Return the defaults."""
        return LocalOptions()
