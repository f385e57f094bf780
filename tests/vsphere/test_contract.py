"""The vsphere driver keeps the contract, against a vCenter that refuses what a real one refuses."""

from typing import Any

import pytest

from tests.vsphere.vcenter import Vcenter
from volplug.sdk import Size, Volume
from volplug.testing import (
    CloneableContract,
    DriverContract,
    ExpandableContract,
    FencingContract,
    SnapshottableContract,
)
from volplug_vsphere import VsphereDriver, VsphereOptions


class _Detaching(VsphereDriver):
    """Clones what is not in use, as the core does: vSphere copies no file that is open."""

    def clone(self, origin: Volume[Any], name: str, options: VsphereOptions) -> str:
        self.detach(origin, self.node_id())
        return super().clone(origin, name, options)


class TestVsphere(
    DriverContract, ExpandableContract, CloneableContract, SnapshottableContract, FencingContract
):
    """Disks at the first machine of a vCenter."""

    @pytest.fixture
    def driver(self, shared_vcenter: Vcenter) -> VsphereDriver:
        """Return a driver of a vCenter that the tests share."""
        return _Detaching(shared_vcenter.driver().config)

    @pytest.fixture
    def options(self) -> VsphereOptions:
        """Return options for a small disk."""
        return VsphereOptions(size=Size.parse("16M"))
