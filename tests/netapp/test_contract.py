"""Both ONTAP drivers keep the contracts, against the simulated array."""

import pytest

from tests.netapp.conftest import Sim
from volplug.sdk import Size
from volplug.testing import (
    CloneableContract,
    DriverContract,
    ExpandableContract,
    FencingContract,
    SnapshottableContract,
)
from volplug_netapp import NasOptions, NetappNasDriver, NetappSanDriver, SanOptions


class TestSan(
    DriverContract, ExpandableContract, CloneableContract, SnapshottableContract, FencingContract
):
    """LUNs."""

    @pytest.fixture
    def driver(self, sim: Sim) -> NetappSanDriver:
        """Return a driver of an empty array."""
        return sim.san()

    @pytest.fixture
    def options(self) -> SanOptions:
        """Return options for a small LUN."""
        return SanOptions(size=Size.parse("64M"))


class TestNas(
    DriverContract, ExpandableContract, CloneableContract, SnapshottableContract, FencingContract
):
    """Shares."""

    @pytest.fixture
    def driver(self, sim: Sim) -> NetappNasDriver:
        """Return a driver of an empty array."""
        return sim.nas()

    @pytest.fixture
    def options(self) -> NasOptions:
        """Return options for a small share."""
        return NasOptions(size=Size.parse("64M"))
