"""Snapshots at EC2: no token, no hurry, and what is made of them."""

from dataclasses import replace

import pytest

from tests.ebs.cloud import Cloud
from tests.ebs.conftest import MakeVolume
from volplug.sdk import Busy, DeadlineExceeded, InvalidOptions, Size, deadline
from volplug_ebs import EbsDriver


@pytest.mark.parametrize("kind", ["throttle", "broken", "lost"])
def test_snapshot_under_faults(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, kind: str
) -> None:
    """With each order and question failing once there is one snapshot, a volume of it, and none."""
    volume = make()
    cloud.fault(kind, "CreateSnapshot")
    driver.create_snapshot(volume, "seed")
    assert cloud.snapshots(volume.handle) == ["seed"]
    cloud.fault(kind, "DescribeSnapshots")
    assert [one.name for one in driver.snapshots(volume)] == ["seed"]
    cloud.fault(kind, "CreateVolume")
    driver.clone_snapshot(volume, "seed", f"{volume.name}-new", volume.options)
    assert len(cloud.disks(f"{volume.name}-new")) == 1
    cloud.fault(kind, "DeleteSnapshot")
    driver.delete_snapshot(volume, "seed")
    assert cloud.snapshots(volume.handle) == []


def test_second_snapshot_of_a_lost_answer_goes(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume
) -> None:
    """What EC2 did not show yet was ordered twice: the older one stays, and it is listed once."""
    cloud.set(lag_s=0.5)
    volume = make()
    cloud.fault("lost", "CreateSnapshot")
    driver.create_snapshot(volume, "seed")
    with deadline(30):
        while cloud.snapshots(volume.handle) != ["seed"]:
            driver.create_snapshot(volume, "seed")
    assert [one.name for one in driver.snapshots(volume)] == ["seed"]
    assert cloud.calls().count("CreateSnapshot") <= 3


def test_pending_snapshot_is_waited_for_by_who_needs_it(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume
) -> None:
    """Taking one does not wait for its end; a volume of it does, and goes on when repeated."""
    volume = make()
    cloud.set(snapshot_s=3600.0)
    driver.create_snapshot(volume, "slow")
    driver.delete_snapshot(volume, "slow")
    driver.create_snapshot(volume, "slow")
    with deadline(0.5), pytest.raises(DeadlineExceeded, match=r"'slow' .* to be completed"):
        driver.clone_snapshot(volume, "slow", f"{volume.name}-new", volume.options)
    assert cloud.disks(f"{volume.name}-new") == []
    cloud.set(snapshot_s=0.0)
    driver.clone_snapshot(volume, "slow", f"{volume.name}-new", volume.options)
    assert len(cloud.disks(f"{volume.name}-new")) == 1


def test_volume_of_a_snapshot_may_be_elsewhere_and_larger(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume
) -> None:
    """A snapshot leads out of the zone; a smaller or less secret volume is refused."""
    volume = make(encrypted=True)
    driver.create_snapshot(volume, "seed")
    driver.expand(volume, Size.parse("2G"))
    name = f"{volume.name}-new"
    for wishes, words in (
        ({"size": Size.parse("1G")}, "has 2 GiB"),
        ({"size": None, "encrypted": False}, "is encrypted"),
        ({"fstype": "xfs"}, "fstype=ext4"),
    ):
        with pytest.raises(InvalidOptions, match=words):
            driver.clone_snapshot(volume, "seed", name, replace(volume.options, **wishes))
    wished = replace(volume.options, size=None, zone="us-east-1b", encrypted=None)
    handle = driver.clone_snapshot(volume, "seed", name, wished)
    [made] = cloud.disks(name)
    assert (made["id"], made["size"], made["parameters"]["Encrypted"]) == (handle, 2, True)


def test_too_many_snapshots_at_once(cloud: Cloud, driver: EbsDriver, make: MakeVolume) -> None:
    """EC2's own limit is told, with when to try again."""
    volume = make()
    cloud.set(snapshots=0)
    with pytest.raises(Busy, match="one snapshot of a volume in 15 seconds"):
        driver.create_snapshot(volume, "seed")
