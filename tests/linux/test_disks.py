"""Finding disks by their identity: a drawn /sys, and real loop devices."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.linux.conftest import Machine
from volplug.errors import DeadlineExceeded, HostError
from volplug.linux import LinuxHost, disk, loop, sysfs
from volplug.source import Device, LoopFile, NvmeSerial, ScsiWwid
from volplug.testing import Known

_WWID = "naa.6000c29a1b2c3d4e"


def _attribute(sysfs_dir: Path, path: str, text: str) -> None:
    file = sysfs_dir / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Return a /sys with two NVMe disks, one behind a multipath, and two SCSI disks."""
    for name, serial in (("nvme0n1", "vol0aaa"), ("nvme1n1", "vol0bbb"), ("nvme1c0n1", "vol0bbb")):
        _attribute(tmp_path, f"block/{name}/device/serial", f"{serial:<20}\n")
        _attribute(tmp_path, f"block/{name}/dev", "259:7\n")
    for name, wwid in (("sda", "naa.1"), ("sdb", _WWID)):
        _attribute(tmp_path, f"block/{name}/device/wwid", f"{wwid}\n")
        (tmp_path / f"block/{name}/holders").mkdir()
    return tmp_path


def test_nvme_disk_is_found_by_its_serial(drawn: Path) -> None:
    """Serials are padded with blanks, and hidden paths of a multipath disk are not disks."""
    assert sysfs.disk_of(NvmeSerial("vol0aaa"), drawn) == "nvme0n1"
    assert sysfs.disk_of(NvmeSerial("vol0bbb"), drawn) == "nvme1n1"
    assert sysfs.number("nvme0n1", drawn) == "259:7"


def test_similar_identities_are_different_disks(drawn: Path) -> None:
    """A part of a serial is not the serial."""
    assert sysfs.disk_of(NvmeSerial("vol0"), drawn) is None
    assert sysfs.disk_of(NvmeSerial(""), drawn) is None
    assert sysfs.disk_of(ScsiWwid("naa"), drawn) is None


def test_scsi_disk_is_found_by_its_wwid(drawn: Path) -> None:
    """As sysfs shows it."""
    assert sysfs.disk_of(ScsiWwid(_WWID), drawn) == "sdb"


def test_several_paths_want_a_multipath_device(drawn: Path) -> None:
    """Two disks with one identity are refused, unless a multipath device joins them."""
    _attribute(drawn, "block/sdc/device/wwid", f"{_WWID}\n")
    (drawn / "block/sdc/holders").mkdir()
    with pytest.raises(HostError, match=r"sdb, sdc.*multipathd"):
        sysfs.disk_of(ScsiWwid(_WWID), drawn)
    for path in ("sdb", "sdc"):
        _attribute(drawn, f"block/{path}/holders/dm-3/dm/uuid", f"mpath-3{_WWID}\n")
    assert sysfs.disk_of(ScsiWwid(_WWID), drawn) == "dm-3"


@pytest.mark.root
def test_disk_that_does_not_appear_is_told(
    host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal names the identity that was awaited."""
    monkeypatch.setattr(disk, "_APPEAR_S", 0.05)
    with pytest.raises(DeadlineExceeded, match=r"NvmeSerial.*vol0none.*to appear"):
        Known().stage(host, "v", Device(NvmeSerial("vol0none"), "ext4"))


@pytest.fixture
def image(machine: Machine) -> Path:
    """Return an empty disk image."""
    path = machine.base / "disk.img"
    with path.open("wb") as file:
        file.truncate(24 << 20)
    return path


@pytest.mark.root
def test_image_is_attached_once(image: Path, machine: Machine) -> None:
    """Eight threads get the same device, and it is free as soon as the last has closed it."""
    with ThreadPoolExecutor(8) as pool:
        files = list(pool.map(lambda _: loop.attach(image, read_only=False), range(8)))
    assert len({os.fstat(file).st_rdev for file in files}) == 1
    assert machine.attached() == [str(image)]
    for file in files:
        os.close(file)


@pytest.mark.root
def test_image_under_two_names_is_one_image(image: Path, machine: Machine) -> None:
    """A hard link is the same file, and gets the same device."""
    (machine.base / "deep").mkdir()
    linked = machine.base / "deep" / image.name
    linked.hardlink_to(image)
    one, two = loop.attach(image, read_only=False), loop.attach(linked, read_only=False)
    assert os.fstat(one).st_rdev == os.fstat(two).st_rdev
    os.close(one)
    os.close(two)


@pytest.mark.root
def test_image_that_is_attached_elsewhere_is_refused(
    image: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second device on one image destroys it; one behind another name is found by flock."""
    monkeypatch.setattr(loop, "_ATTACH_S", 0.1)
    file = loop.attach(image, read_only=False)
    other = machine.base / "other.img"
    other.hardlink_to(image)
    with pytest.raises(DeadlineExceeded, match="another loop device or host"):
        loop.attach(other, read_only=False)
    os.close(file)


@pytest.mark.root
def test_device_that_an_operator_attached_is_used_and_freed(
    image: Path, machine: Machine, host: LinuxHost
) -> None:
    """It would not free itself, so it is freed, and that is looked at."""
    subprocess.run(["losetup", "-f", image], check=True)
    Known().stage(host, "v", Device(LoopFile(image), "ext4"))
    assert machine.attached() == [str(image)]
    host.unstage("v")
    assert machine.attached() == []


@pytest.mark.root
def test_device_that_is_held_open_is_not_called_free(
    image: Path, machine: Machine, host: LinuxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`losetup -d` on a busy device reports success and does nothing; we look."""
    monkeypatch.setattr("volplug.linux.way_down._RELEASE_S", 0.1)
    Known().stage(host, "v", Device(LoopFile(image), "ext4"))
    held = loop.attach(image, read_only=False)
    with pytest.raises(HostError, match="still has the image"):
        host.unstage("v")
    assert host.staged() == {"v"}
    os.close(held)
    host.unstage("v")
    assert machine.attached() == []


@pytest.mark.root
def test_missing_image_is_named(host: LinuxHost, machine: Machine) -> None:
    """With its path, and what to do."""
    with pytest.raises(HostError, match=r"gone\.img cannot be opened: No such file"):
        Known().stage(host, "v", Device(LoopFile(machine.base / "gone.img"), "ext4"))


@pytest.mark.root
def test_loop_uses_direct_io_where_it_can(image: Path) -> None:
    """So that the image is not cached twice; and the kernel frees the device by itself."""
    file = loop.attach(image, read_only=False)
    name = sysfs.name(f"{os.major(os.fstat(file).st_rdev)}:{os.minor(os.fstat(file).st_rdev)}")
    assert sysfs.read(sysfs.SYSFS / "block" / name / "loop/dio") == "1"
    assert sysfs.read(sysfs.SYSFS / "block" / name / "loop/autoclear") == "1"
    os.close(file)


@pytest.mark.root
def test_image_without_direct_io_is_attached_as_well(machine: Machine, host: LinuxHost) -> None:
    """A file system that has no direct I/O, or only in large blocks, is no obstacle."""
    place = machine.base / "tmpfs"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    with (place / "disk.img").open("wb") as file:
        file.truncate(24 << 20)
    Known().stage(host, "v", Device(LoopFile(place / "disk.img"), "ext4"))
    host.unstage("v")
    subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_disk_of_an_earlier_boot_is_not_freed(image: Path, machine: Machine) -> None:
    """Numbers begin anew with each boot: a stale record's may now be another volume's disk."""
    source = Device(LoopFile(image), "ext4")
    before = LinuxHost(machine.base / "state", machine.mount_dir, boot_id="earlier")
    Known().stage(before, "v", source)
    number, sequence = _recorded(machine)
    machine.vanish("v")
    other = machine.base / "other.img"
    with other.open("wb") as file:
        file.truncate(24 << 20)
    held = loop.attach(other, read_only=False)
    now = os.fstat(held).st_rdev
    record = machine.base / "state/staged/v.json"
    text = record.read_text().replace(f'"{number}"', f'"{os.major(now)}:{os.minor(now)}"')
    current = sysfs.sequence(f"{os.major(now)}:{os.minor(now)}")
    record.write_text(text.replace(f'"disk_sequence": {sequence}', f'"disk_sequence": {current}'))
    machine.host().unstage("v")
    assert machine.attached() == [str(other)]
    os.close(held)


def _recorded(machine: Machine) -> tuple[str, int]:
    mounted = json.loads((machine.base / "state/staged/v.json").read_text())["mounted"]
    return mounted["disk"], mounted["disk_sequence"]
