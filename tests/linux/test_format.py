"""Real disks that must not be formatted, checked or mounted, and what is told about them."""

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.linux.conftest import Machine, namespace, umount
from tests.machine import need_program
from volplug.errors import DeadlineExceeded, HostError, Unsupported
from volplug.host import Filesystem, Formatted
from volplug.linux import LinuxHost, mountinfo, probe
from volplug.linux.disk import Disk
from volplug.options import Size
from volplug.source import Device, LoopFile
from volplug.testing import Image, Known

pytestmark = pytest.mark.root

_MIB = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Return an empty disk."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(320 * _MIB)
    return Image(path, "ext4")


@pytest.mark.parametrize(
    ("program", "package", "holds"),
    [
        ("mkfs.ext4", "e2fsprogs", "TYPE=ext4"),
        ("mkfs.xfs", "xfsprogs", "TYPE=xfs"),
        ("mkfs.btrfs", "btrfs-progs", "TYPE=btrfs"),
        ("mkswap", "util-linux", "TYPE=swap"),
    ],
)
def test_real_foreign_data_is_refused(
    host: LinuxHost, image: Image, program: str, package: str, holds: str
) -> None:
    """Somebody's file system is named in the refusal, and kept byte for byte."""
    subprocess.run([need_program(program, package), "-q", image.path], check=True)
    before = image.written()
    with pytest.raises(HostError, match=f"left alone: it should be empty and holds .*{holds}"):
        Known().stage(host, "v", image.source)
    assert image.written() == before


def test_partition_table_is_refused(host: LinuxHost, image: Image) -> None:
    """A disk with partitions is not empty, though it holds no file system."""
    sfdisk = need_program("sfdisk", "fdisk")
    subprocess.run([sfdisk, "-q", image.path], input=b"label: gpt\n,,\n", check=True)
    before = image.written()
    with pytest.raises(HostError, match="PTTYPE=gpt"):
        Known().stage(host, "v", image.source)
    assert image.written() == before


def test_disk_in_use_is_not_formatted(
    host: LinuxHost, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody has mounted is not empty, whatever it looks like."""
    monkeypatch.setattr("volplug.linux.probe._CLAIM_S", 0.1)
    target = tmp_path / "target"
    target.mkdir()
    known = Known()
    known.stage(host, "other", image.source)
    subprocess.run(["mount", "--bind", host.path("other") or "", target], check=True)
    try:
        with pytest.raises(DeadlineExceeded, match="mounted or in use"):
            Known().stage(host, "v", image.source)
    finally:
        umount(target)


def test_read_that_ends_early_is_no_empty_disk(image: Image) -> None:
    """A disk that gives fewer bytes than it has is refused as unreadable."""
    with image.path.open("rb") as file:
        disk = SimpleNamespace(file=file.fileno(), path="x", size_bytes=320 * _MIB)
        assert probe.is_zero(cast("Disk", disk))
        disk.size_bytes += _MIB
        with pytest.raises(HostError, match="gave 0 of 1048576 bytes"):
            probe.is_zero(cast("Disk", disk))


def test_wrong_file_system_kind_is_refused(host: LinuxHost, image: Image) -> None:
    """A volume made as ext4 is not staged as xfs."""
    known = Known()
    known.stage(host, "v", image.source)
    host.unstage("v")
    with pytest.raises(HostError, match="made as ext4, not xfs"):
        known.stage(host, "v", Device(LoopFile(image.path), "xfs"))


def test_unknown_file_system_is_unsupported(host: LinuxHost, image: Image) -> None:
    """The refusal lists what there is."""
    with pytest.raises(Unsupported, match=r"btrfs, ext4, xfs"):
        Known().stage(host, "v", Device(LoopFile(image.path), "ntfs"))
    assert image.is_zero()


def test_damaged_file_system_is_not_mounted(host: LinuxHost, image: Image) -> None:
    """Nothing is guessed by fsck: a person is told what to do, and the disk is left as it is."""
    known = Known()
    known.stage(host, "v", image.source)
    host.unstage("v")
    debugfs = need_program("debugfs", "e2fsprogs")
    subprocess.run([debugfs, "-w", "-R", "clri <2>", image.path], check=True, capture_output=True)
    subprocess.run(
        [debugfs, "-w", "-R", "ssv state 2", image.path], check=True, capture_output=True
    )
    with pytest.raises(HostError, match=r"damaged.*copy the disk, run `fsck.ext4"):
        known.stage(host, "v", image.source)
    assert host.path("v") is None


def test_ext4_stops_at_an_error(host: LinuxHost, machine: Machine, image: Image) -> None:
    """Whatever its driver asked for, it will be written no more once its metadata cannot be."""
    Known().stage(host, "v", image.source)
    mount = mountinfo.read().at(machine.mount_dir / "v")
    assert mount
    assert "errors=remount-ro" in mount.super_options


def test_unclean_unmount_is_mended(host: LinuxHost, image: Image, tmp_path: Path) -> None:
    """A disk that lost power is checked and mounted without anybody's help."""
    known = Known()
    path = known.stage(host, "v", image.source)
    for number in range(50):
        (path / str(number)).write_text("x" * 5000)
    subprocess.run(["sync", "-f", path], check=True)
    (path / "late").touch()
    crashed = Image(tmp_path / "crashed.img", "ext4")
    image.copy_to(crashed)
    host.unstage("v")
    again = known.stage(host, "again", crashed.source)
    assert (again / "49").read_text() == "x" * 5000


@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs"])
def test_read_only_disk_is_read_only(host: LinuxHost, image: Image, fstype: str) -> None:
    """A formatted disk can be staged read only, down to the device, and not a byte changes."""
    need_program(
        f"mkfs.{fstype}", {"ext4": "e2fsprogs", "xfs": "xfsprogs"}.get(fstype, "btrfs-progs")
    )
    known = Known()
    disk = Image(image.path, fstype)
    (known.stage(host, "v", disk.source) / "file").write_text("kept")
    host.unstage("v")
    before = disk.written()
    path = known.stage(host, "v", disk.source, read_only=True)
    assert (path / "file").read_text() == "kept"
    with pytest.raises(OSError, match="Read-only"):
        (path / "other").touch()
    [device] = subprocess.run(
        ["losetup", "-nO", "RO", "-j", disk.path], check=True, capture_output=True, text=True
    ).stdout.split()
    assert device == "1"
    host.unstage("v")
    assert disk.written() == before


def test_clone_can_be_read_as_it_is(host: LinuxHost, image: Image, tmp_path: Path) -> None:
    """A read-only clone is mounted beside its origin without being written to."""
    need_program("mkfs.xfs", "xfsprogs")
    known = Known()
    origin = Image(image.path, "xfs")
    (known.stage(host, "origin", origin.source) / "file").write_text("kept")
    host.unstage("origin")
    clone = Image(tmp_path / "clone.img", "xfs")
    origin.copy_to(clone)
    before = clone.written()
    copied = Known(Filesystem(Formatted.CLONED, "xfs", known.filesystem.uuid))
    known.stage(host, "origin", origin.source)
    path = copied.stage(host, "clone", clone.source, read_only=True)
    assert (path / "file").read_text() == "kept"
    host.unstage("clone")
    assert copied.filesystem.formatted is Formatted.CLONED
    assert clone.written() == before


@pytest.mark.parametrize("fstype", ["xfs", "btrfs"])
def test_mounted_disk_grows(host: LinuxHost, image: Image, fstype: str) -> None:
    """The file system takes the size that its image has got, while it is in use; ten times."""
    need_program(f"mkfs.{fstype}", {"xfs": "xfsprogs"}.get(fstype, "btrfs-progs"))
    disk = Image(image.path, fstype)
    path = Known().stage(host, "v", disk.source)
    with image.path.open("r+b") as file:
        file.truncate(640 * _MIB)
    for _ in range(10):
        host.grow("v", Size(640 * _MIB))
    assert _size_bytes(path) > 500 * _MIB


def test_mounted_ext4_grows_or_says_what_it_takes(
    host: LinuxHost, image: Image, tmp_path: Path
) -> None:
    """Without CAP_SYS_RESOURCE the refusal names it, and the next stage grows the disk."""
    known = Known()
    known.stage(host, "v", image.source)
    with image.path.open("r+b") as file:
        file.truncate(640 * _MIB)
    try:
        host.grow("v", Size(640 * _MIB))
    except Unsupported as refusal:
        assert "CAP_SYS_RESOURCE" in str(refusal)  # noqa: PT017  whether it comes is the machine's
        host.unstage("v")
        known.stage(host, "v", image.source)
    path = host.path("v")
    assert path
    assert _size_bytes(path) > 500 * _MIB
    assert tmp_path


def test_grown_disk_is_still_the_same_source(host: LinuxHost, image: Image) -> None:
    """A driver's answer shows the new size; that is no other volume."""
    known = Known()
    path = known.stage(host, "v", image.source)
    with image.path.open("r+b") as file:
        file.truncate(330 * _MIB)
    assert known.stage(host, "v", image.source) == path


def test_grow_wants_the_disk_to_be_large(
    host: LinuxHost, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not show its new size is told, and a volume that is not here too."""
    monkeypatch.setattr("volplug.linux.host._GROW_S", 0.1)
    with pytest.raises(HostError, match="not mounted writable"):
        host.grow("v", Size(1))
    Known().stage(host, "v", image.source)
    with pytest.raises(DeadlineExceeded, match="to show 640 MiB"):
        host.grow("v", Size(640 * _MIB))


def test_disk_in_use_outlives_a_change_of_its_options(
    host: LinuxHost, machine: Machine, image: Image, tmp_path: Path
) -> None:
    """Another release may ask for other mount options, and it is the same disk still."""
    known = Known()
    path = known.stage(host, "v", replace(image.source, mount_options=("noatime",)))
    assert known.stage(host, "v", image.source) == path
    target = tmp_path / "target"
    target.mkdir()
    with namespace(f"mount --bind {path} {target}"):
        machine.vanish("v")
        assert known.stage(host, "v", image.source) == path
        assert len(machine.attached()) == 1


def test_two_containers_keep_a_restaged_disk(
    host: LinuxHost, machine: Machine, image: Image, tmp_path: Path
) -> None:
    """A disk that is still in use somewhere is mounted again without a check, and is one disk."""
    known = Known()
    path = known.stage(host, "v", image.source)
    target = tmp_path / "target"
    target.mkdir()
    with namespace(f"mount --bind {path} {target}"):
        machine.vanish("v")
        known.stage(host, "v", image.source)
        assert len(machine.attached()) == 1
        assert host.users("v") == 1


def _size_bytes(path: Path) -> int:
    text = subprocess.run(
        ["stat", "-f", "-c", "%b %S", path], check=True, capture_output=True, text=True
    ).stdout.split()
    return int(text[0]) * int(text[1])
