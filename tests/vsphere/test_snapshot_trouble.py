"""Trouble at every method that the verbs about snapshots call: one of each, and none lost."""

from collections.abc import Iterator

import pytest

from tests.vsphere.conftest import volume_of
from tests.vsphere.vcenter import Vcenter
from volplug.deadline import clock
from volplug.sdk import AccessMode, InvalidOptions, Unavailable, Volume
from volplug.testing import FakeClock
from volplug_vsphere import VsphereDriver, VsphereOptions

AnyVolume = Volume[VsphereOptions]


@pytest.fixture(autouse=True)
def patience() -> Iterator[FakeClock]:
    """Let pauses pass at once."""
    turned = FakeClock()
    with clock(turned):
        yield turned


def _copy(handle: str) -> AnyVolume:
    return Volume("copy", "vsphere", handle, AccessMode.SINGLE_WRITER, VsphereOptions())


def _lifecycle(driver: VsphereDriver, vcenter: Vcenter) -> None:
    """Take a snapshot through all verbs, twice each, checking after each what there is."""
    volume = volume_of(driver)
    for _ in range(2):
        driver.create_snapshot(volume, "monday")
        assert [one["snapshots"] for one in vcenter.disks()] == [1]
    assert [one.name for one in driver.snapshots(volume)] == ["monday"]
    handle = driver.clone_snapshot(volume, "monday", "copy", VsphereOptions())
    assert driver.clone_snapshot(volume, "monday", "copy", VsphereOptions()) == handle
    assert len(vcenter.disks()) == len(vcenter.files()) == 2
    for _ in range(2):
        driver.delete_snapshot(volume, "monday")
        assert driver.snapshots(volume) == []
    driver.delete(_copy(handle))
    driver.delete(volume)
    assert vcenter.nothing()


@pytest.mark.parametrize("kind", ["503", "429", "500", "reset", "lost", "expired"])
def test_trouble_at_any_method_passes(vcenter: Vcenter, kind: str) -> None:
    """One failure of each method that there is, in turn: all verbs still do it, once."""
    _lifecycle(vcenter.driver(), vcenter)
    methods = sorted(vcenter.calls())
    assert {"VStorageObjectCreateSnapshot_Task", "RetrieveSnapshotInfo"} <= set(methods)
    assert {"CreateDiskFromSnapshot_Task", "DeleteSnapshot_Task"} <= set(methods)
    for method in methods:
        vcenter.trouble(kind, method)
        _lifecycle(vcenter.driver(), vcenter)


def test_volume_outlives_its_snapshot(vcenter: Vcenter, driver: VsphereDriver) -> None:
    """One whose snapshot went before it was finished is finished, for there it is."""
    volume = volume_of(driver)
    driver.create_snapshot(volume, "monday")
    vcenter.trouble("503", "RegisterDisk", times=6)  # as often as a verb is tried
    with pytest.raises(Unavailable, match="does not answer as it should"):
        driver.clone_snapshot(volume, "monday", "copy", VsphereOptions())
    driver.delete_snapshot(volume, "monday")
    copy = _copy(driver.clone_snapshot(volume, "monday", "copy", VsphereOptions()))
    assert len(vcenter.disks()) == len(vcenter.files()) == 2
    driver.delete(copy)
    with pytest.raises(InvalidOptions, match="no snapshot 'monday'"):
        driver.clone_snapshot(volume, "monday", "copy", VsphereOptions())
    driver.delete(volume)
    assert vcenter.nothing()
