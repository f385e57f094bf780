"""What lies on a disk decides whether it is formatted: only nothing at all, readable to the end.

The disks are plugged into a guest as EBS' and vSphere's are, and staged by the real host, in one
kernel with real controllers. What must be left alone is compared byte by byte on the outside.
"""

import os
import struct
import subprocess
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.disks import Disk
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.machine import need_program
from volplug.host import Filesystem, Formatted
from volplug.source import Device, NvmeSerial, ScsiWwid

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

_MIB = 1024 * 1024
_SIZE_BYTES = 64 * _MIB
_ALONE = "was left alone: "
_UUID = "11111111-2222-4333-8444-555555555555"
_STARTED = Filesystem(Formatted.STARTED, "ext4", _UUID)
_WWN = 0x6000C29F1D2E3F40


@pytest.fixture(scope="module")
def node(lab: Lab) -> Node:
    """A node without an engine."""
    node = lab.node()
    node.shell("modprobe -a vmw_pvscsi sd_mod")
    return node


@pytest.fixture
def image(lab: Lab) -> Iterator[Path]:
    """The image of a blank disk, gone after the test."""
    image = lab.disk_image(f"foreign-{uuid.uuid4()}", _SIZE_BYTES)
    yield image
    image.unlink()


@pytest.fixture
def disk(node: Node, image: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    """The disk, plugged in as NVMe with what the test's parameter writes on it beforehand."""
    fill: Callable[[Path], None] = getattr(request, "param", lambda _: None)
    fill(image)
    node.wait_up()
    disk = node.disks.plug_nvme(image, "vol0f0e1d")
    yield disk
    node.disks.unplug(disk)


_NVME = Device(NvmeSerial("vol0f0e1d"), "ext4", size_bytes=_SIZE_BYTES)


def _write(image: Path, offset: int, content: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def _ext4(image: Path, *words: str) -> None:
    mkfs = need_program("mkfs.ext4", "e2fsprogs")
    subprocess.run([mkfs, "-q", "-F", *words, image], check=True)


def _lvm(image: Path) -> None:
    """Write the label of a physical volume, with the checksum that LVM wants."""
    rest = struct.pack("<I8s32s", 32, b"LVM2 001", b"abcdefghijklmnopqrstuvwxyz012345").ljust(
        492, b"\0"
    )
    checksum = zlib.crc32(rest, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    _write(image, 512, struct.pack("<8sQI", b"LABELONE", 1, checksum) + rest)


def _half(image: Path) -> None:
    """Leave a file system as a mkfs that was cut short does: tables, and no superblock."""
    _ext4(image, "-U", _UUID)
    _write(image, 0, bytes(4096))


_FOREIGN = {
    "ext4": (_ext4, "it should be empty and holds TYPE=ext4"),
    "lvm": (_lvm, "it should be empty and holds TYPE=LVM2_member"),
    "random": (
        lambda image: _write(image, 0, os.urandom(8192)),
        "it should be empty and holds data that is no known file system",
    ),
    "random-in-the-middle": (
        lambda image: _write(image, _SIZE_BYTES // 2, os.urandom(512)),
        "it should be empty and holds data that is no known file system",
    ),
    "half-formatted": (_half, "it should be empty and holds data that is no known file system"),
}


@pytest.mark.parametrize(
    ("disk", "sentence"), _FOREIGN.values(), ids=_FOREIGN.keys(), indirect=["disk"]
)
def test_a_disk_with_data_is_left_alone(node: Node, image: Path, disk: Disk, sentence: str) -> None:
    """A volume that was never formatted meets data: it is told which, and no byte changes."""
    before = image.read_bytes()
    refused = node.stage("foreign", _NVME).refused()
    assert refused.startswith("HostError: the disk /dev/nvme")
    assert f"of 'foreign' {_ALONE}{sentence}" in refused
    assert image.read_bytes() == before
    assert disk.image == image


@pytest.mark.usefixtures("disk")
def test_a_blank_disk_is_formatted_with_the_uuid_that_was_remembered(node: Node) -> None:
    """And the next stage, told of that, mounts what is there."""
    staged = node.stage("blank", _NVME)
    where = staged.ok()
    remembered, ready = staged.stderr.splitlines()
    assert remembered.split()[:2] == ["started", "ext4"]
    assert ready == remembered.replace("started", "ready")
    node.shell("echo precious >$0/file; sync", where)
    node.unstage("blank").ok()
    known = Filesystem(Formatted.READY, "ext4", ready.split()[2])
    assert node.stage("blank", _NVME, known).ok() == where
    assert node.shell("cat $0/file", where) == "precious"
    node.unstage("blank").ok()
    # What is forgotten is not formatted either.
    assert "holds TYPE=ext4" in node.stage("blank", _NVME).refused()


def test_a_disk_that_cannot_be_read_is_not_taken_for_empty(node: Node, disk: Disk) -> None:
    """What blkid finds on it is nothing, which is what it finds on a blank one."""
    node.wait_for("grep -q vol0f0e1d /sys/class/nvme/*/serial", "the disk to appear")
    node.disks.fence(disk)
    refused = node.stage("broken", _NVME).refused()
    assert "cannot be read at 0: Input/output error; it was not formatted" in refused


@pytest.mark.parametrize("disk", [_half], indirect=True)
def test_a_formatting_that_was_cut_short_is_left_to_people(
    node: Node, image: Path, disk: Disk
) -> None:
    """It began, and what is there is not what it makes: the sentence says how to go on."""
    before = image.read_bytes()
    refused = node.stage("half", _NVME, _STARTED).refused()
    assert f"{_ALONE}formatting began with UUID {_UUID} and was cut short" in refused
    assert "if that is worthless, wipe the disk by hand" in refused
    assert image.read_bytes() == before
    assert disk.image == image


@pytest.mark.parametrize("disk", [lambda image: _ext4(image, "-U", _UUID)], indirect=True)
@pytest.mark.usefixtures("disk")
def test_a_formatting_that_only_its_end_was_not_noted_of_is_used(node: Node) -> None:
    """The file system bears the UUID that was chosen before: it is ours, and whole."""
    staged = node.stage("noted", _NVME, _STARTED)
    where = staged.ok()
    assert staged.stderr.strip() == f"ready ext4 {_UUID}"
    node.shell("test -d $0", where)
    node.unstage("noted").ok()


def test_a_scsi_disk_with_data_is_left_alone_too(node: Node, image: Path) -> None:
    """Found by its name as vSphere gives it, and refused for what it holds."""
    _ext4(image)
    before = image.read_bytes()
    node.wait_up()
    disk = node.disks.plug_scsi(image, "6000c29f", _WWN)
    device = Device(ScsiWwid(f"naa.{_WWN:x}"), "xfs", size_bytes=_SIZE_BYTES)
    refused = node.stage("scsi", device).refused()
    node.disks.unplug(disk)
    assert f"the disk /dev/sda of 'scsi' {_ALONE}it should be empty and holds TYPE=ext4" in refused
    assert image.read_bytes() == before
