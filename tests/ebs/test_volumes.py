"""What EC2 refuses, and what the driver makes of it: sentences, and nothing left behind."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ebs.cloud import Cloud
from tests.ebs.conftest import MakeVolume
from volplug.sdk import (
    AccessDenied,
    Busy,
    Device,
    Exhausted,
    HeldElsewhere,
    InvalidOptions,
    NvmeSerial,
    Size,
    Unavailable,
    Unsupported,
    VolumeExists,
    VolumeInUse,
    VolumeNotFound,
)
from volplug_ebs import EbsConfig, EbsDriver, EbsOptions

GIB = Size.parse("1G")


def test_wishes_reach_ec2(cloud: Cloud, driver: EbsDriver) -> None:
    """Size, type, IOPS, throughput, key and the marks are what EC2 is asked for."""
    wishes = EbsOptions(Size.parse("1.5G"), "gp3", 4000, 250, encrypted=True, kms_key="alias/disks")
    driver.create("wishes", wishes)
    [disk] = cloud.disks("wishes")
    assert disk["parameters"] == {
        "Size": 2, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250, "Encrypted": True,
        "KmsKeyId": "alias/disks",
    }  # fmt: skip
    assert disk["tags"]["volplug:cluster"] == "volplug"
    assert disk["tags"]["Name"] == "wishes"


def test_defaults_of_the_backend(cloud: Cloud, config: EbsConfig) -> None:
    """What a user does not say is the operator's."""
    operator = replace(config, default_size=GIB, encrypted=False, default_type="gp2")
    EbsDriver(operator).create("defaults", EbsOptions())
    parameters = cloud.disks("defaults")[0]["parameters"]
    assert parameters == {"Size": 1, "VolumeType": "gp2", "Encrypted": False}


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (EbsOptions(GIB, zone="us-east-1q"), "us-east-1q"),
        (EbsOptions(GIB, "gp2", 4000), "not supported for gp2"),
        (EbsOptions(GIB, "gp3", 2), "iops of 2"),
        (EbsOptions(GIB, "io2"), "iops must be specified"),
        (EbsOptions(GIB, "gp3", throughput=3000), "125 to 2000"),
        (EbsOptions(Size.parse("100T")), "102400GiB"),
        (EbsOptions(Size(0)), "at least 1 GiB"),
        (EbsOptions(GIB, encrypted=False, kms_key="alias/a"), "encrypted=yes"),
    ],
)
def test_impossible_wishes(cloud: Cloud, driver: EbsDriver, wishes: EbsOptions, words: str) -> None:
    """EC2's own words come with the refusal, and nothing is made."""
    with pytest.raises(InvalidOptions, match=words):
        driver.create("impossible", wishes)
    assert cloud.disks("impossible") == []


def test_forbidden_key(cloud: Cloud, driver: EbsDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume that vanishes after it was made points at its key, and leaves none behind."""
    monkeypatch.setattr("volplug_ebs._disks._VISIBLE_S", 1.2)  # EC2's dates are whole seconds
    with pytest.raises(Unavailable, match="KMS key"):
        driver.create("forbidden", EbsOptions(GIB, kms_key="alias/forbidden"))
    assert cloud.disks("forbidden") == []


def test_same_name_other_wishes(driver: EbsDriver, make: MakeVolume) -> None:
    """The refusal shows what is there and what was wanted."""
    volume = make()
    with pytest.raises(VolumeExists, match=r"1 GiB, gp3.*2 GiB, gp3"):
        driver.create(volume.name, EbsOptions(Size.parse("2G")))


def test_name_is_free_for_another_process(
    cloud: Cloud, driver: EbsDriver, config: EbsConfig, make: MakeVolume,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A token that a deleted volume used up is passed over, by whoever did not delete it."""
    monkeypatch.setattr("volplug_ebs._disks._VISIBLE_S", 0.0)
    volume = make()
    driver.delete(volume)
    again = EbsDriver(config).create(volume.name, volume.options)
    assert again != volume.handle
    assert [disk["id"] for disk in cloud.disks(volume.name)] == [again]


def test_answer_of_attach(driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str]) -> None:
    """The disk is named by the serial that NVMe shows: the volume's id without the dash."""
    volume = make(fstype="xfs")
    serial = NvmeSerial(volume.handle.replace("-", ""))
    assert driver.attach(volume, nodes[0]) == Device(serial, "xfs", (), GIB)


def test_second_node_is_refused(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """Who has it, since when, and what to do; and the first node keeps it."""
    volume = make()
    driver.attach(volume, nodes[0])
    with pytest.raises(HeldElsewhere, match=rf"attached at {nodes[0]} since 20.*fence it"):
        driver.attach(volume, nodes[1])
    assert cloud.disks(volume.name)[0]["holders"] == [nodes[0]]
    driver.detach(volume, nodes[1])
    assert cloud.disks(volume.name)[0]["holders"] == [nodes[0]]
    with pytest.raises(VolumeInUse, match=nodes[0]):
        driver.delete(volume)
    driver.detach(volume, nodes[0])
    driver.attach(volume, nodes[1])


def test_other_zone(cloud: Cloud, driver: EbsDriver, make: MakeVolume) -> None:
    """A node of another zone cannot have it, and is told why."""
    with pytest.raises(Unsupported, match="never leave their zone"):
        driver.attach(make(), cloud.instance("us-east-1b"))


def test_instance_that_is_not_there(driver: EbsDriver, make: MakeVolume) -> None:
    """An instance that EC2 does not know is named."""
    with pytest.raises(Unavailable, match="i-0123456789abcdef0 is not there"):
        driver.attach(make(), "i-0123456789abcdef0")


def test_full_instance(cloud: Cloud, driver: EbsDriver, make: MakeVolume) -> None:
    """The room is counted before EC2 is asked, and EC2's own limit is understood as well."""
    node = cloud.instance()
    volume = make()
    cloud.set(limit=1)
    with pytest.raises(Exhausted, match="AttachmentLimitExceeded"):
        driver.attach(volume, node)
    cloud.set(limit=99)
    for number in range(26):
        driver.attach(make(f"filler-{number}"), node)
    cloud.calls()
    with pytest.raises(Exhausted, match=r"27 disks, and an m5\.large with 1 network interface"):
        driver.attach(volume, node)
    assert "AttachVolume" not in cloud.calls()


def test_name_that_the_image_uses(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """A device name that is taken inside, unseen, is avoided at the next try."""
    volume = make()
    driver.attach(volume, nodes[0])
    [mapped] = [
        one["DeviceName"]
        for one in cloud.ec2.describe_instances(InstanceIds=[nodes[0]])["Reservations"][0][
            "Instances"
        ][0]["BlockDeviceMappings"]
        if one["Ebs"]["VolumeId"] == volume.handle
    ]
    driver.detach(volume, nodes[0])
    cloud.set(hidden_device=mapped)
    driver.attach(volume, nodes[0])
    assert cloud.disks(volume.name)[0]["holders"] == [nodes[0]]


def test_busy_disk(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """A disk that the guest does not let go is VolumeInUse, and is never forced by a detach."""
    volume = make()
    driver.attach(volume, nodes[0])
    cloud.set(stuck=True)
    with pytest.raises(VolumeInUse, match=f"busy at {nodes[0]}"):
        driver.detach(volume, nodes[0])
    assert cloud.disks(volume.name)[0]["holders"] == [nodes[0]]
    assert "by force" not in (proof := driver.fence(volume, nodes[0]))
    assert "carries none of its writes" in proof


def test_stuck_attachment(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """An attachment that never ends is taken back, so that the next try starts clean."""
    volume = make()
    cloud.set(attach_s=1000)
    monkeypatch.setattr("volplug_ebs._attaching._STUCK", timedelta(-1))
    with pytest.raises(Unavailable, match="stayed 'attaching'"):
        driver.attach(volume, nodes[0])
    cloud.set(attach_s=0)
    monkeypatch.undo()
    driver.attach(volume, nodes[0])


def test_strange_volume_is_left_alone(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """A handle whose volume carries other marks is refused by every verb."""
    one, other = make("one"), make("other")
    forged = replace(one, handle=other.handle)
    for verb in (
        lambda: driver.attach(forged, nodes[0]),
        lambda: driver.detach(forged, nodes[0]),
        lambda: driver.delete(forged),
        lambda: driver.fence(forged, nodes[0]),
        lambda: driver.expand(forged, Size.parse("2G")),
    ):
        with pytest.raises(AccessDenied, match="left alone"):
            verb()
    assert len(cloud.disks(other.name)) == 1


def test_volume_that_was_deleted_there(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """Somebody else deleted it: not found, and gone is what delete and detach want."""
    volume = make()
    cloud.ec2.delete_volume(VolumeId=volume.handle)
    with pytest.raises(VolumeNotFound, match=volume.handle):
        driver.attach(volume, nodes[0])
    driver.detach(volume, nodes[0])
    driver.delete(volume)
    assert "cannot write" in driver.fence(volume, nodes[0])


def test_four_changes_a_day(cloud: Cloud, driver: EbsDriver, make: MakeVolume) -> None:
    """The fifth is Exhausted with the rule; repeating a size that is there costs none."""
    volume = make()
    for gib in (2, 2, 3, 4, 5, 5):
        driver.expand(volume, Size(gib * GIB))
    with pytest.raises(Exhausted, match="four changes of a volume in 24 hours"):
        driver.expand(volume, Size.parse("6G"))
    assert cloud.disks(volume.name)[0]["changes"] == 4


def test_change_that_still_goes_on(cloud: Cloud, driver: EbsDriver, make: MakeVolume) -> None:
    """The new size counts once EC2 optimizes; another one has to wait, which can take hours."""
    volume = make()
    cloud.set(optimize_s=1000)
    driver.expand(volume, Size.parse("2G"))
    with pytest.raises(Busy, match="can take hours"):
        driver.expand(volume, Size.parse("3G"))


def test_clone(cloud: Cloud, driver: EbsDriver, make: MakeVolume) -> None:
    """A copy is as large as its origin is now, or larger; it stays in its zone."""
    volume = make()
    driver.expand(volume, Size.parse("3G"))
    driver.clone(volume, "clone-same", replace(volume.options, size=None))
    driver.clone(volume, "clone-larger", replace(volume.options, size=Size.parse("4G")))
    assert [cloud.disks(f"clone-{one}")[0]["size"] for one in ("same", "larger")] == [3, 4]
    for wishes, words in (
        ({"size": GIB}, "too small for a copy"),
        ({"zone": "us-east-1b", "size": None}, "stays in its zone, us-east-1a"),
        ({"fstype": "xfs"}, "has fstype=ext4"),
    ):
        with pytest.raises(InvalidOptions, match=words):
            driver.clone(volume, "clone-bad", replace(volume.options, **wishes))
    assert cloud.disks("clone-bad") == []


def test_description(driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str]) -> None:
    """Operators see size, zone, wishes, and who has it."""
    volume = make()
    driver.attach(volume, nodes[0])
    assert driver.describe(volume) == {
        "size_enforced": "hard",
        "size": "1 GiB",
        "state": f"attached at {nodes[0]}",
        "zone": "us-east-1a",
        "made_as": "1 GiB, gp3, encrypted",
    }
