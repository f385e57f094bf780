"""What the vsphere driver does where vSphere has sharp edges."""

from typing import Any

import pytest

from tests.vsphere.conftest import volume_of
from tests.vsphere.vcenter import NODES, Vcenter
from volplug.sdk import (
    AccessMode,
    DeadlineExceeded,
    Device,
    HeldElsewhere,
    HostError,
    InvalidOptions,
    ScsiWwid,
    Size,
    Unavailable,
    Unsupported,
    Volume,
    VolumeExists,
    VolumeInUse,
    VolumeNotFound,
    deadline,
)
from volplug_vsphere import VsphereDriver, VsphereOptions

AnyVolume = Volume[VsphereOptions]


def attached(driver: VsphereDriver, volume: AnyVolume) -> str:
    """Attach a volume to the driver's own machine and return the identity of the disk."""
    source = driver.attach(volume, driver.node_id())
    assert isinstance(source, Device)
    assert isinstance(source.identity, ScsiWwid)
    return source.identity.wwid


def test_disk_outlives_its_machine(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, volume: AnyVolume
) -> None:
    """Disks are first class and kept: destroying a machine does not destroy its volumes."""
    before = attached(driver, volume)

    def destroy(content: Any) -> None:
        machine = content.searchIndex.FindByUuid(None, driver.node_id(), True, False)
        machine.PowerOffVM_Task()
        machine.Destroy_Task()

    driver._session.steadily(destroy)
    assert NODES[0] not in vcenter.tell()["machines"]
    driver.detach(volume, driver.node_id())
    assert attached(other, volume) == before
    assert [each["kept"] for each in vcenter.disks()] == [True]
    assert vcenter.files()[0] in volume.handle


def test_identity_is_the_disk_uuid(driver: VsphereDriver, volume: AnyVolume) -> None:
    """The guest's kernel names the disk by the UUID in its file, in small letters, after `naa.`."""
    wwid = attached(driver, volume)
    assert wwid.startswith("naa.6000c29")
    assert len(wwid) == len("naa.") + 32
    assert wwid == wwid.lower()


def test_size_is_rounded_up(driver: VsphereDriver) -> None:
    """Whole MiB, and never less than was asked for."""
    volume = volume_of(driver, size=Size(20 * 2**20 + 1))
    source = driver.attach(volume, driver.node_id())
    assert isinstance(source, Device)
    assert source.size_bytes == 21 * 2**20


@pytest.mark.parametrize("power", ["poweredOn", "poweredOff", "suspended"])
def test_second_machine_is_refused(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, volume: AnyVolume, power: str
) -> None:
    """A disk that a machine lists, running or not, goes to no other; the refusal names it."""
    attached(driver, volume)
    vcenter.tell(machine=NODES[0], power=power)
    with pytest.raises(HeldElsewhere, match=NODES[0]):
        other.attach(volume, other.node_id())
    assert [each["held_by"] for each in vcenter.disks()] == [[NODES[0]]]
    driver.detach(volume, driver.node_id())
    attached(other, volume)


def test_detach_names_the_exact_pair(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, volume: AnyVolume
) -> None:
    """To detach from a machine that does not have it leaves the one alone that does."""
    attached(driver, volume)
    other.detach(volume, other.node_id())
    assert vcenter.disks()[0]["held_by"] == [NODES[0]]
    driver.detach(volume, "00000000-0000-0000-0000-000000000000")
    assert vcenter.disks()[0]["held_by"] == [NODES[0]]


def test_delete_in_use_is_refused(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """A disk that a machine lists is not deleted, and the refusal names the machine."""
    attached(driver, volume)
    with pytest.raises(VolumeInUse, match=NODES[0]):
        driver.delete(volume)
    assert len(vcenter.files()) == 1


def test_late_delete_spares_a_newer_volume(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """A repeated delete of an old volume does not reach a new one of the same name."""
    driver.delete(volume)
    newer = volume_of(driver)
    driver.delete(volume)
    assert len(vcenter.files()) == 1
    attached(driver, newer)


def test_config_change_does_not_lose_disks(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """A volume stays where it was made, whatever the config says of new ones by now."""
    moved = vcenter.driver(folder="elsewhere", datastore="LocalDS_9")
    attached(moved, volume)
    with pytest.raises(Unavailable, match="no datastore 'LocalDS_9'"):
        moved.create("another", VsphereOptions())
    lost = Volume(
        volume.name, "", volume.handle.replace("LocalDS_0", "LocalDS_9"), volume.access,
        volume.options,
    )  # fmt: skip
    with pytest.raises(Unavailable, match="no datastore"):
        driver.delete(lost)


def test_smaller_disk_in_the_way_is_named(driver: VsphereDriver, volume: AnyVolume) -> None:
    """A disk that an earlier create left is not handed out for a larger one."""
    with pytest.raises(VolumeExists, match="1 GiB large instead of 2 GiB"):
        driver.create(volume.name, VsphereOptions(size=Size.parse("2G")))


def test_more_disks_than_one_controller_takes(vcenter: Vcenter, driver: VsphereDriver) -> None:
    """The driver adds controllers, and skips the unit that a controller itself has."""
    for number in range(20):
        attached(driver, volume_of(driver, f"data{number}", size=Size.parse("16M")))
    assert vcenter.tell()["machines"][NODES[0]]["disks"] == 21
    assert vcenter.calls()["ReconfigVM_Task"] == 1


def test_guest_must_see_disk_uuids(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """Without disk.EnableUUID the guest could not tell disks apart: refused, with the cure."""
    vcenter.tell(machine=NODES[0], disk_uuid="FALSE")
    with pytest.raises(HostError, match=r"disk\.EnableUUID"):
        driver.attach(volume, driver.node_id())


def test_copied_machines_are_refused(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """Two machines of one BIOS UUID cannot be told apart, so neither gets a disk or loses one."""
    vcenter.tell(machine=NODES[1], uuid=vcenter.uuid(NODES[0]))
    for verb in (driver.attach, driver.detach, driver.fence):
        with pytest.raises(Unavailable, match=f"{NODES[0]}, {NODES[1]}|{NODES[1]}, {NODES[0]}"):
            verb(volume, driver.node_id())


def test_clone_has_a_uuid_of_its_own(driver: VsphereDriver, volume: AnyVolume) -> None:
    """VSphere may copy a disk's UUID along; two disks of one identity would be confused."""
    copy = driver.clone(volume, "copy", VsphereOptions(size=Size.parse("2G")))
    clone = Volume("copy", "", copy, AccessMode.SINGLE_WRITER, VsphereOptions())
    assert attached(driver, clone) != attached(driver, volume)
    source = driver.attach(clone, driver.node_id())
    assert isinstance(source, Device)
    assert source.size_bytes == Size.parse("2G")


def test_volume_from_a_snapshot_has_a_uuid_of_its_own(
    driver: VsphereDriver, volume: AnyVolume
) -> None:
    """Both disks can be at one machine, and the guest can tell which is which; sizes may differ."""
    driver.attach(volume, driver.node_id())
    driver.create_snapshot(volume, "monday")
    made = driver.clone_snapshot(volume, "monday", "new", VsphereOptions(size=Size.parse("2G")))
    new = Volume("new", "", made, AccessMode.SINGLE_WRITER, VsphereOptions())
    sources = [driver.attach(each, driver.node_id()) for each in (volume, new)]
    assert sources[0].identity != sources[1].identity
    assert [source.size_bytes >> 30 for source in sources] == [1, 2]


def test_disk_with_snapshots_is_neither_copied_nor_enlarged(
    driver: VsphereDriver, volume: AnyVolume
) -> None:
    """What vSphere would copy is old, and it enlarges none: each with its way out."""
    driver.create_snapshot(volume, "monday")
    with pytest.raises(Unsupported, match="clone_of=data@SNAPSHOT"):
        driver.clone(volume, "copy", VsphereOptions())
    with pytest.raises(VolumeInUse, match="no snapshots"):
        driver.expand(volume, Size.parse("2G"))
    driver.delete_snapshot(volume, "monday")
    driver.clone(volume, "copy", VsphereOptions())


def test_clone_of_an_open_disk_is_refused(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """VSphere copies no file that a running machine has open; nothing is left behind."""
    attached(driver, volume)
    with pytest.raises(VolumeInUse, match="stop what uses it"):
        driver.clone(volume, "copy", VsphereOptions())
    assert len(vcenter.files()) == 1


def test_clone_outlasts_deadlines(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """A copy that takes longer than a call is gone on waiting for, and begun only once."""
    vcenter.tell(delay_ms=1500)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded, match="the copy of"), deadline(0.4):
            driver.clone(volume, "copy", VsphereOptions())
    assert driver.clone(volume, "copy", VsphereOptions())
    assert vcenter.calls()["CopyVirtualDisk_Task"] == 1
    assert len(vcenter.files()) == len(vcenter.disks()) == 2


def test_running_create_is_joined(vcenter: Vcenter, driver: VsphereDriver) -> None:
    """A create whose file is still being made is waited for, from another process, too."""
    vcenter.tell(delay_ms=600)
    with pytest.raises(DeadlineExceeded, match="ran out of time"), deadline(0.3):
        driver.create("slow", VsphereOptions())
    again = vcenter.driver()
    vcenter.tell(delay_ms=0)
    assert again.create("slow", VsphereOptions())
    assert len(vcenter.files()) == len(vcenter.disks()) == 1


def test_running_attach_is_joined(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """An attach that a dead process began is found among the machine's tasks and waited for."""
    vcenter.tell(delay_ms=800)
    with pytest.raises(DeadlineExceeded, match="ran out of time"), deadline(0.4):
        driver.attach(volume, driver.node_id())
    again = vcenter.driver()
    assert attached(again, volume)
    assert vcenter.calls()["AttachDisk_Task"] == 1


def test_running_expand_is_no_refusal(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """A disk that an earlier call made as large meanwhile is as large as was wanted."""
    survivor = vcenter.driver()
    survivor.attachments(volume)  # is logged in
    vcenter.tell(delay_ms=3000)
    with pytest.raises(DeadlineExceeded, match="to grow"), deadline(2):
        driver.expand(volume, Size.parse("2G"))
    survivor.expand(volume, Size.parse("2G"))
    assert list(vcenter.tell()["files"].values()) == [2048]
    # A machine that is slow enough finds the first call's work done, and orders nothing.
    assert 1 <= vcenter.calls()["ExtendDisk_Task"] <= 2


def test_handle_of_another_name_is_refused(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """A volume whose record got another one's handle does not reach that one's disk."""
    forged = Volume("another", "", volume.handle, volume.access, volume.options)
    for verb in (driver.attach, driver.detach, driver.fence):
        with pytest.raises(Unavailable, match="never gave"):
            verb(forged, driver.node_id())
    with pytest.raises(Unavailable, match="never gave"):
        driver.delete(forged)
    assert len(vcenter.files()) == 1


def test_description_is_in_the_words_of_vcenter(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """Operators are told what to look for in vCenter: the disk, its file, and its machines."""
    before = driver.describe(volume)
    assert before["machines"] == "none"
    assert before["size_enforced"] == "hard"
    attached(driver, volume)
    after = driver.describe(volume)
    assert after["file"] == vcenter.files()[0]
    assert NODES[0] in after["machines"]


def test_expand_says_why_not(driver: VsphereDriver, volume: AnyVolume) -> None:
    """No disk of vSphere is larger than 62 TiB."""
    with pytest.raises(InvalidOptions, match="62 TiB at most"):
        driver.expand(volume, Size.parse("63T"))


def test_disk_that_vcenter_lost(driver: VsphereDriver, volume: AnyVolume) -> None:
    """A volume whose disk is gone is not attached, grown or listed, in words."""
    driver.delete(volume)
    verbs: list[Any] = [
        lambda: driver.attach(volume, driver.node_id()),
        lambda: driver.expand(volume, Size.parse("2G")),
        lambda: driver.attachments(volume),
    ]
    for verb in verbs:
        with pytest.raises(VolumeNotFound, match="has no disk"):
            verb()
