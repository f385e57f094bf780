"""The loop driver: images that are whole, as large as promised, and never shared by two kernels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.drivers.conftest import MakeDisk
from tests.drivers.crash import Crash, survives_every_crash
from volplug.command import run
from volplug.errors import (
    Exhausted,
    HostError,
    InvalidOptions,
    Unavailable,
    Unsupported,
    VolumeInUse,
    VolumeNotFound,
)
from volplug.options import Size, parse
from volplug.source import Device, LoopFile
from volplug.volume import AccessMode, Volume
from volplug_loop import LoopConfig, LoopDriver, LoopOptions

_SMALL = Size.parse("16M")
_MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of the driver, which does not exist yet."""
    return tmp_path / "images"


@pytest.fixture
def driver(root: Path) -> LoopDriver:
    """Return a driver with the default configuration."""
    return LoopDriver(LoopConfig(root=root))


def _volume(
    driver: LoopDriver, name: str = "data", options: LoopOptions | None = None
) -> Volume[LoopOptions]:
    options = options or LoopOptions(size=_SMALL)
    handle = driver.create(name, options)
    return Volume(name, "loop", handle, AccessMode.SINGLE_WRITER, options)


def _device(driver: LoopDriver, volume: Volume[LoopOptions]) -> Device:
    device = driver.attach(volume, driver.node_id())
    assert isinstance(device, Device)
    return device


def _image(driver: LoopDriver, volume: Volume[LoopOptions]) -> Path:
    identity = _device(driver, volume).identity
    assert isinstance(identity, LoopFile)
    return identity.path


def _entries(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir() if entry.name != ".pool")


def test_image_is_fully_allocated(driver: LoopDriver, root: Path) -> None:
    """Nobody else can take the space that a volume was promised."""
    volume = _volume(driver)
    image = _image(driver, volume)
    assert image == root / volume.handle
    assert image.stat().st_size == _SMALL
    assert image.stat().st_blocks * 512 >= _SMALL
    assert image.stat().st_mode & 0o7777 == 0o600


def test_thin_image_takes_space_when_it_is_written(driver: LoopDriver) -> None:
    """It has its size at once and its blocks later, and gives them back when files go."""
    volume = _volume(driver, options=LoopOptions(size=_SMALL, thin=True))
    assert _image(driver, volume).stat().st_size == _SMALL
    assert _image(driver, volume).stat().st_blocks == 0
    assert "discard" in _device(driver, volume).mount_options


def test_attach_tells_file_system_and_size(driver: LoopDriver) -> None:
    """The host learns what to format with, and how large the disk must be before it does."""
    device = _device(driver, _volume(driver))
    assert (device.fstype, device.size_bytes) == ("ext4", _SMALL)
    assert device.mount_options == ()


def test_size_comes_from_the_configuration(root: Path) -> None:
    """Without size=, a volume is as large as the operator said."""
    config = parse(LoopConfig, {"root": str(root), "default_size": "20M"}, what="backend loop")
    driver = LoopDriver(config)
    assert _device(driver, _volume(driver, options=LoopOptions())).size_bytes == 20 * _MIB


def test_default_root_is_below_the_state_directory(tmp_path: Path) -> None:
    """Nothing has to be configured."""
    assert parse(LoopConfig, {}, what="loop", base=tmp_path).root == tmp_path / "images"


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"size": "15M"}, "ext4 needs 16 MiB"),
        ({"size": "0"}, "ext4 needs 16 MiB"),
        ({"size": "299M", "fstype": "xfs"}, "xfs needs 300 MiB"),
        ({"size": "127M", "fstype": "btrfs"}, "btrfs needs 128 MiB"),
    ],
)
def test_size_that_cannot_be_formatted_is_refused(
    driver: LoopDriver, root: Path, options: dict[str, str], least: str
) -> None:
    """It is refused when it is asked for, and not when it is first mounted."""
    with pytest.raises(InvalidOptions, match=least):
        driver.create("data", parse(LoopOptions, options, what="volume"))
    assert not root.exists()


def test_more_than_the_disk_has_is_refused(driver: LoopDriver, root: Path) -> None:
    """The refusal tells what is free, and no part of the image stays."""
    for size in (Size.parse("900P"), Size(2**80)):
        with pytest.raises(Exhausted, match=r"no room for .* are free"):
            driver.create("data", LoopOptions(size=size))
    assert _entries(root) == []


def test_thin_images_promise_no_more_than_is_free(driver: LoopDriver, root: Path) -> None:
    """A sparse image on a full disk loses data silently: what may still be written counts."""
    driver.create("first", LoopOptions(size=_SMALL))
    room = os.statvfs(root)
    most = Size(room.f_bavail * room.f_frsize * 3 // 5)
    driver.create("thin", LoopOptions(size=most, thin=True))
    with pytest.raises(Exhausted, match="thin volumes may still take"):
        driver.create("too-much", LoopOptions(size=most, thin=True))
    generous = LoopDriver(LoopConfig(root=root, overcommit=2.0))
    generous.create("too-much", LoopOptions(size=most, thin=True))


def test_overcommit_must_be_a_sensible_factor() -> None:
    """Not a number, or less than what there is, is refused in the configuration."""
    for factor in ("nan", "inf", "0.5", "-1"):
        with pytest.raises(InvalidOptions, match="a factor from 1 to 100"):
            parse(LoopConfig, {"overcommit": factor}, what="backend loop")


def test_create_again_keeps_the_bytes(driver: LoopDriver) -> None:
    """A repeated create never writes into an image that may hold data."""
    volume = _volume(driver)
    image = _image(driver, volume)
    image.write_bytes(b"data" * 1000)
    assert _volume(driver, options=LoopOptions(size=Size.parse("32M"))).handle == volume.handle
    assert image.read_bytes() == b"data" * 1000


def test_expand_keeps_the_bytes(driver: LoopDriver) -> None:
    """The image grows in place, fully allocated as it was."""
    volume = _volume(driver)
    image = _image(driver, volume)
    with image.open("r+b") as file:
        file.write(b"data")
    driver.expand(volume, Size.parse("24M"))
    assert image.stat().st_size == 24 * _MIB
    assert image.stat().st_blocks * 512 >= 24 * _MIB
    assert image.read_bytes()[:4] == b"data"


def test_shrink_is_refused_with_a_way_out(driver: LoopDriver) -> None:
    """A smaller size would cut off data."""
    volume = _volume(driver)
    with pytest.raises(InvalidOptions, match=r"'data' is 16 MiB large and cannot shrink to 1 MiB"):
        driver.expand(volume, Size(_MIB))
    assert _device(driver, volume).size_bytes == _SMALL


def test_delete_frees_the_space(driver: LoopDriver, root: Path) -> None:
    """The file is gone when delete returns."""
    driver.delete(_volume(driver))
    assert _entries(root) == []


def test_missing_image_is_told(driver: LoopDriver) -> None:
    """Data that is gone is told, and no empty image takes its place."""
    volume = _volume(driver)
    _image(driver, volume).unlink()
    with pytest.raises(VolumeNotFound, match="'data' is gone"):
        driver.attach(volume, driver.node_id())
    with pytest.raises(VolumeNotFound, match="'data' is gone"):
        driver.expand(volume, Size.parse("1G"))


def test_link_in_place_of_an_image_is_refused(driver: LoopDriver, tmp_path: Path) -> None:
    """Only a plain file below the root becomes a disk."""
    volume = _volume(driver)
    image = _image(driver, volume)
    image.unlink()
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    image.symlink_to(target)
    for verb in (lambda: driver.attach(volume, "n"), lambda: driver.expand(volume, Size(2**30))):
        with pytest.raises(HostError, match="not a plain file"):
            verb()
    driver.delete(volume)
    assert target.read_bytes() == b"mine"


def test_volume_of_another_root_is_not_taken_for_deleted(
    driver: LoopDriver, tmp_path: Path
) -> None:
    """A root whose disk is not mounted, or another node's, has no say in what exists."""
    volume = _volume(driver)
    other = LoopDriver(LoopConfig(root=tmp_path / "other"))
    other.create("other", LoopOptions(size=_SMALL))
    with pytest.raises(Unavailable, match="another node"):
        other.delete(volume)


def test_images_are_never_shared(driver: LoopDriver) -> None:
    """Two kernels on one ext4 destroy it, so no option can ask for that."""
    assert driver.access_modes == frozenset(AccessMode) - {AccessMode.SHARED}


@pytest.mark.root
def test_clone_without_shared_blocks_is_refused_with_a_way_out(small_disk: Path) -> None:
    """On ext4 the sentence names what would do, and nothing is left behind."""
    driver = LoopDriver(LoopConfig(root=small_disk / "images"))
    origin = _volume(driver, "origin")
    with pytest.raises(Unsupported, match="xfs or btrfs"):
        driver.clone(origin, "copy", origin.options)
    assert _entries(driver.config.root) == [origin.handle]


@pytest.mark.root
@pytest.mark.parametrize("fstype", ["xfs", "btrfs"])
def test_clone_shares_blocks_where_files_can(make_disk: MakeDisk, fstype: str) -> None:
    """A clone holds the origin's bytes at once, may be larger, and is apart afterwards."""
    driver = LoopDriver(LoopConfig(root=make_disk(fstype) / "images"))
    origin = _volume(driver, "origin")
    with _image(driver, origin).open("r+b") as file:
        file.write(b"data" * 100_000)
    larger = LoopOptions(size=Size.parse("32M"))
    copy = Volume("copy", "loop", driver.clone(origin, "copy", larger), origin.access, larger)
    assert _device(driver, copy).size_bytes == 32 * _MIB
    with _image(driver, copy).open("r+b") as file:
        assert file.read(400_000) == b"data" * 100_000
        file.seek(0)
        file.write(b"else")
    assert driver.clone(origin, "copy", larger) == copy.handle
    assert _image(driver, copy).read_bytes()[:8] == b"elsedata"
    assert _image(driver, origin).read_bytes()[:8] == b"datadata"


@pytest.mark.root
def test_snapshot_without_shared_blocks_is_refused(small_disk: Path) -> None:
    """On ext4 the sentence names what would do, and no snapshot is listed."""
    driver = LoopDriver(LoopConfig(root=small_disk / "images"))
    origin = _volume(driver, "origin")
    with pytest.raises(Unsupported, match="xfs or btrfs"):
        driver.create_snapshot(origin, "monday")
    assert driver.snapshots(origin) == []
    assert _entries(driver.config.root) == [origin.handle]


@pytest.mark.root
@pytest.mark.parametrize("fstype", ["xfs", "btrfs"])
def test_snapshot_keeps_what_was_there(make_disk: MakeDisk, fstype: str) -> None:
    """What is written later is not in it, and a volume of it begins with what was."""
    driver = LoopDriver(LoopConfig(root=make_disk(fstype) / "images"))
    origin = _volume(driver, "origin")
    image = _image(driver, origin)
    for text in (b"monday", b"tuesday"):
        with image.open("r+b") as file:
            file.write(text)
        driver.create_snapshot(origin, text.decode())
    driver.create_snapshot(origin, "monday")
    handle = driver.clone_snapshot(origin, "monday", "copy", origin.options)
    copy = Volume("copy", "loop", handle, origin.access, origin.options)
    assert _image(driver, copy).read_bytes()[:7] == b"monday\0"
    assert image.read_bytes()[:7] == b"tuesday"
    for name in ("monday", "tuesday"):
        driver.delete_snapshot(origin, name)
    driver.delete(origin)
    assert _entries(driver.config.root) == [handle]


def test_snapshots_lead_nowhere_else(driver: LoopDriver) -> None:
    """A name that is a path is refused, whoever asks."""
    volume = _volume(driver)
    for name in ("../data", "..", ".pool", "a/b"):
        with pytest.raises((InvalidOptions, Unsupported)):
            driver.create_snapshot(volume, name)
        with pytest.raises(InvalidOptions):
            driver.clone_snapshot(volume, name, "copy", volume.options)


@pytest.mark.root
def test_snapshot_survives_a_crash_at_every_step(make_disk: MakeDisk) -> None:
    """Killed after any system call, a snapshot is whole or not there, and can be deleted."""

    def take(place: Path) -> None:
        driver = LoopDriver(LoopConfig(root=place))
        volume = _volume(driver)
        with (place / volume.handle).open("r+b") as file:
            file.write(b"data")
        with Crash.armed():
            driver.create_snapshot(volume, "monday")

    def crashed(place: Path) -> None:
        driver = LoopDriver(LoopConfig(root=place))
        volume = _volume(driver)
        if (place / volume.handle).read_bytes()[:4] == b"data":
            driver.create_snapshot(volume, "monday")
            [one] = place.glob(".kept-*/*")
            assert one.read_bytes()[:4] == b"data"
            driver.delete_snapshot(volume, "monday")
        driver.delete(volume)
        assert list(place.glob(".kept-*")) == []
        assert _entries(place) == []

    survives_every_crash(make_disk("xfs"), take, crashed)


@pytest.mark.root
def test_clone_that_does_not_fit_its_origin_is_refused(make_disk: MakeDisk) -> None:
    """A clone can be neither smaller than its origin nor of another file system."""
    driver = LoopDriver(LoopConfig(root=make_disk("xfs") / "images"))
    origin = _volume(driver, "origin", LoopOptions(size=Size.parse("20M")))
    with pytest.raises(InvalidOptions, match="'origin' is 20 MiB"):
        driver.clone(origin, "copy", LoopOptions(size=_SMALL))
    with pytest.raises(InvalidOptions, match="fstype=ext4"):
        driver.clone(origin, "copy", LoopOptions(fstype="btrfs"))


@pytest.mark.root
def test_delete_is_refused_while_a_loop_device_has_the_image(
    driver: LoopDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that is a disk of this node now is not deleted under its file system."""
    monkeypatch.setattr("volplug_loop._LET_GO_S", 0.0)
    volume = _volume(driver)
    image = _image(driver, volume)
    with _loop_device(image) as device:
        with pytest.raises(VolumeInUse, match=f"{device} still has the image of 'data'"):
            driver.delete(volume)
        assert image.exists()
    driver.delete(volume)
    assert not image.exists()


@contextmanager
def _loop_device(image: Path) -> Iterator[str]:
    device = run(["losetup", "--find", "--show", image]).stdout.strip()
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])


@pytest.mark.root
def test_full_disk_leaves_no_part_of_an_image(small_disk: Path) -> None:
    """Space that went while an image was allocated is told, and given back."""
    driver = LoopDriver(LoopConfig(root=small_disk / "images", overcommit=3.0))
    volume = _volume(driver)
    before = os.statvfs(small_disk)
    with pytest.raises(Exhausted, match="no room"):
        driver.create("large", LoopOptions(size=Size.parse("100M")))
    with pytest.raises(Exhausted, match="no room"):
        driver.expand(volume, Size.parse("100M"))
    lost = before.f_bfree - os.statvfs(small_disk).f_bfree
    assert lost * before.f_frsize < _MIB  # a directory may have grown
    assert _device(driver, volume).size_bytes == _SMALL
    assert _entries(driver.config.root) == [volume.handle]


def test_create_survives_a_crash_at_every_step(tmp_path: Path) -> None:
    """Killed after any system call, an image is whole or not there, and nothing is beside it."""

    def crashed(place: Path) -> None:
        if place.exists():
            assert all(entry.stat().st_size == _SMALL for entry in place.glob("data-*"))
        driver = LoopDriver(LoopConfig(root=place))
        volume = _volume(driver)
        assert _entries(place) == [volume.handle]
        assert _image(driver, volume).stat().st_blocks * 512 >= _SMALL

    options = LoopOptions(size=_SMALL)
    survives_every_crash(
        tmp_path,
        lambda place: LoopDriver(LoopConfig(root=place)).create("data", options),
        crashed,
    )


def test_expand_and_delete_survive_a_crash_at_every_step(tmp_path: Path) -> None:
    """Killed after any system call, repeating ends the work, and the bytes are still there."""

    def change(place: Path) -> None:
        driver = LoopDriver(LoopConfig(root=place))
        volume = _volume(driver)
        with (place / volume.handle).open("r+b") as file:
            file.write(b"data")
        with Crash.armed():
            driver.expand(volume, Size.parse("20M"))
            driver.delete(volume)

    def crashed(place: Path) -> None:
        driver = LoopDriver(LoopConfig(root=place))
        for image in place.glob("data-*"):
            assert image.read_bytes()[:4] == b"data"
        volume = _volume(driver)
        driver.expand(volume, Size.parse("20M"))
        assert _device(driver, volume).size_bytes == 20 * _MIB
        driver.delete(volume)
        assert _entries(place) == []

    survives_every_crash(tmp_path, change, crashed)
