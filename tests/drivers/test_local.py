"""The local driver: nobody's files are lost, and nothing leads out of its root."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.drivers.crash import Crash, survives_every_crash
from volplug.command import run
from volplug.errors import (
    AccessDenied,
    HostError,
    InvalidOptions,
    Unavailable,
    VolplugError,
    VolumeNotFound,
)
from volplug.options import parse
from volplug.source import Share
from volplug.volume import AccessMode, Volume
from volplug_local import LocalConfig, LocalDriver, LocalOptions


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of the driver, which does not exist yet."""
    return tmp_path / "state" / "volumes"


@pytest.fixture
def driver(root: Path) -> LocalDriver:
    """Return a driver that is set up as volplug does it without any configuration."""
    return LocalDriver(parse(LocalConfig, {}, what="backend local", base=root.parent))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return a directory with a file that must survive everything."""
    place = tmp_path / "mine"
    place.mkdir()
    place.joinpath("diary").write_text("dear")
    return place


def _volume(
    driver: LocalDriver, name: str = "data", path: Path | None = None
) -> Volume[LocalOptions]:
    options = LocalOptions(path)
    handle = driver.create(name, options)
    return Volume(name, "local", handle, AccessMode.SHARED, options)


def _directory(driver: LocalDriver, volume: Volume[LocalOptions]) -> Path:
    source = driver.attach(volume, driver.node_id())
    assert isinstance(source, Share)
    assert source.fstype == "bind"
    return Path(source.source)


def _entries(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))


def test_volume_is_a_directory_below_the_root(driver: LocalDriver, root: Path) -> None:
    """Its name starts as the volume's does, anybody may enter it, and only root sees the list."""
    directory = _directory(driver, _volume(driver))
    assert directory.parent == root
    assert directory.name.startswith("data-")
    assert directory.stat().st_mode & 0o7777 == 0o755
    assert root.stat().st_mode & 0o7777 == 0o711


def test_directory_is_made_whatever_the_umask(driver: LocalDriver) -> None:
    """A daemon's strict umask does not lock the container's user out."""
    before = os.umask(0o077)
    try:
        directory = _directory(driver, _volume(driver))
    finally:
        os.umask(before)
    assert directory.stat().st_mode & 0o7777 == 0o755


def test_create_again_keeps_files_and_mode(driver: LocalDriver) -> None:
    """A repeated create changes nothing of what is there by now."""
    directory = _directory(driver, _volume(driver))
    directory.joinpath("file").write_text("text")
    directory.chmod(0o700)
    assert _directory(driver, _volume(driver)) == directory
    assert directory.joinpath("file").read_text() == "text"
    assert directory.stat().st_mode & 0o7777 == 0o700


def test_delete_removes_the_files(driver: LocalDriver, root: Path) -> None:
    """A small volume's space is free when delete returns."""
    volume = _volume(driver)
    _directory(driver, volume).joinpath("deep/er").mkdir(parents=True)
    driver.delete(volume)
    assert _entries(root) == []
    assert list(root.joinpath(".trash").iterdir()) == []


def test_delete_follows_no_link(driver: LocalDriver, mine: Path) -> None:
    """What a container linked to is not the volume's."""
    volume = _volume(driver)
    directory = _directory(driver, volume)
    directory.joinpath("link").symlink_to(mine)
    directory.joinpath("deep").mkdir()
    directory.joinpath("deep/link").symlink_to(mine / "diary")
    driver.delete(volume)
    assert mine.joinpath("diary").read_text() == "dear"


def test_name_of_a_deleted_volume_gives_an_empty_one(driver: LocalDriver) -> None:
    """The next volume of the name never sees the last one's files."""
    volume = _volume(driver)
    _directory(driver, volume).joinpath("secret").write_text("s")
    driver.delete(volume)
    assert list(_directory(driver, _volume(driver)).iterdir()) == []


def test_link_in_place_of_a_volume_is_refused(driver: LocalDriver, root: Path, mine: Path) -> None:
    """Only a real directory is handed out, even if somebody swapped it for a link."""
    volume = _volume(driver)
    (root / volume.handle).rmdir()
    (root / volume.handle).symlink_to(mine)
    with pytest.raises(HostError, match="not a directory"):
        driver.attach(volume, driver.node_id())
    driver.delete(volume)
    assert mine.joinpath("diary").exists()


def test_volume_of_another_root_is_not_taken_for_deleted(
    driver: LocalDriver, tmp_path: Path
) -> None:
    """A root whose disk is not mounted, or another node's, has no say in what exists."""
    volume = _volume(driver)
    other = LocalDriver(LocalConfig(root=tmp_path / "other"))
    with pytest.raises(Unavailable, match="is its disk mounted"):
        other.delete(volume)
    other.create("other", LocalOptions())
    for verb in (other.delete, lambda volume: other.attach(volume, other.node_id())):
        with pytest.raises(Unavailable, match="another node"):
            verb(volume)


def test_missing_directory_is_not_made_by_attach(driver: LocalDriver, root: Path) -> None:
    """Data that is gone is told, and not replaced by an empty directory."""
    volume = _volume(driver)
    (root / volume.handle).rmdir()
    with pytest.raises(VolumeNotFound, match="'data'"):
        driver.attach(volume, driver.node_id())
    assert _entries(root) == []


def test_adopted_directory_is_used_in_place(driver: LocalDriver, root: Path, mine: Path) -> None:
    """With path= the directory itself is the volume, links in the path followed."""
    link = mine.parent / "link"
    link.symlink_to(mine)
    volume = _volume(driver, path=link)
    assert _directory(driver, volume) == mine
    assert _entries(root) == []


def test_adopted_directory_is_never_deleted(driver: LocalDriver, mine: Path) -> None:
    """It was there before the volume, and it is there afterwards, untouched."""
    before = mine.stat()
    volume = _volume(driver, path=mine)
    driver.delete(volume)
    driver.delete(volume)
    assert mine.joinpath("diary").read_text() == "dear"
    after = mine.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (
        before.st_ino, before.st_mtime_ns, before.st_mode,
    )  # fmt: skip


def test_adopted_volume_can_be_forgotten_without_the_root(
    driver: LocalDriver, root: Path, mine: Path
) -> None:
    """Nothing of it is in the root, so no missing disk stands in the way."""
    volume = _volume(driver, path=mine)
    shutil.rmtree(root)
    driver.delete(volume)
    assert mine.joinpath("diary").exists()


def test_delete_takes_the_half_made_copy_along(driver: LocalDriver, root: Path) -> None:
    """What a clone that crashed left behind goes with its volume."""
    volume = _volume(driver)
    (root / f".{volume.handle}.copy" / "part").mkdir(parents=True)
    driver.delete(volume)
    assert {entry.name for entry in root.iterdir()} == {".pool", ".trash"}


@pytest.mark.parametrize(
    "path",
    [
        "/", "/proc", "/proc/self/fd", "/sys/kernel", "/dev", "/dev/shm", "/proc/1/root",
        "{state}", "{state}/volumes", "{state}/mounts", "{state}/..", "{mine}/absent",
        "{mine}/diary", "relative", ".", "{mine}/../state",
    ],
)  # fmt: skip
def test_path_that_exposes_too_much_is_refused(
    driver: LocalDriver, root: Path, mine: Path, path: str
) -> None:
    """The kernel's trees, the state directory and their parents are nobody's volume."""
    (root.parent / "mounts").mkdir(parents=True)
    wanted = path.format(state=root.parent, mine=mine)
    with pytest.raises(InvalidOptions, match="path="):
        driver.create("data", LocalOptions(Path(wanted)))
    assert not root.exists()


def test_link_into_a_forbidden_place_is_refused_at_every_use(
    driver: LocalDriver, mine: Path
) -> None:
    """A directory that became a link after the volume was made does not lead anywhere."""
    adopted = mine / "adopted"
    adopted.mkdir()
    volume = _volume(driver, path=adopted)
    adopted.rmdir()
    with pytest.raises(Unavailable, match="disk mounted"):
        driver.attach(volume, driver.node_id())
    adopted.symlink_to("/proc")
    with pytest.raises(InvalidOptions, match="expose /proc"):
        driver.attach(volume, driver.node_id())


def test_operator_can_narrow_what_is_adopted(root: Path, mine: Path) -> None:
    """With adopt_below, other places are refused with the setting's name."""
    narrow = LocalDriver(LocalConfig(root=root, adopt_below=(mine,), keep_out=()))
    elsewhere = mine.with_name("elsewhere")
    elsewhere.mkdir()
    mine.joinpath("inner").mkdir()
    assert _directory(narrow, _volume(narrow, path=mine / "inner")) == mine / "inner"
    with pytest.raises(InvalidOptions, match="adopt_below"):
        narrow.create("other", LocalOptions(elsewhere))


def test_clone_copies_everything(driver: LocalDriver, root: Path) -> None:
    """Files, links, modes and times are the same, and the two are apart afterwards."""
    origin = _volume(driver, "origin")
    tree = _directory(driver, origin)
    tree.joinpath("sub").mkdir(mode=0o750)
    tree.joinpath("sub/file").write_text("text")
    tree.joinpath("link").symlink_to("sub/file")
    tree.chmod(0o711)
    handle = driver.clone(origin, "copy", LocalOptions())
    copy = root / handle
    assert copy.joinpath("sub/file").read_text() == "text"
    assert copy.joinpath("link").readlink() == Path("sub/file")
    assert copy.joinpath("sub").stat().st_mode & 0o777 == 0o750
    assert copy.stat().st_mode & 0o777 == 0o711
    copy.joinpath("sub/file").write_text("other")
    assert driver.clone(origin, "copy", LocalOptions()) == handle
    assert copy.joinpath("sub/file").read_text() == "other"
    assert tree.joinpath("sub/file").read_text() == "text"


def test_clone_of_an_adopted_directory_is_its_own(driver: LocalDriver, mine: Path) -> None:
    """The copy of a directory that was brought along is kept, and deleted, like any other."""
    origin = _volume(driver, "origin", mine)
    handle = driver.clone(origin, "copy", LocalOptions())
    copy = Volume("copy", "local", handle, AccessMode.SHARED, LocalOptions())
    assert _directory(driver, copy).joinpath("diary").read_text() == "dear"
    driver.delete(copy)
    assert mine.joinpath("diary").exists()
    with pytest.raises(InvalidOptions, match="path="):
        driver.clone(origin, "copy", LocalOptions(mine))


def test_create_survives_a_crash_at_every_step(tmp_path: Path) -> None:
    """Killed after any system call, create finds its work again and leaves nothing beside it."""

    def crashed(place: Path) -> None:
        driver = LocalDriver(LocalConfig(root=place, keep_out=()))
        directory = _directory(driver, _volume(driver))
        assert _entries(place) == [directory.name]
        assert {entry.name for entry in place.iterdir()} <= {".pool", directory.name}

    survives_every_crash(
        tmp_path,
        lambda place: LocalDriver(LocalConfig(root=place)).create("data", LocalOptions()),
        crashed,
    )


def test_delete_survives_a_crash_at_every_step(tmp_path: Path) -> None:
    """Killed after any system call, the volume is whole or gone, and a repeated delete ends it."""

    def delete(place: Path) -> None:
        driver = LocalDriver(LocalConfig(root=place))
        volume = _volume(driver)
        (place / volume.handle / "file").write_text("x")
        with Crash.armed():
            driver.delete(volume)

    def crashed(place: Path) -> None:
        driver = LocalDriver(LocalConfig(root=place))
        volume = _volume(driver)
        assert [e.name for e in _directory(driver, volume).iterdir()] in ([], ["file"])
        driver.delete(volume)
        assert _entries(place) == []
        assert list(place.joinpath(".trash").iterdir()) == []

    survives_every_crash(tmp_path, delete, crashed)


def test_clone_survives_a_crash_at_every_step(tmp_path: Path) -> None:
    """Killed at any system call, a clone is whole or not there, and is finished when repeated."""

    def clone(place: Path) -> None:
        driver = LocalDriver(LocalConfig(root=place))
        origin = _volume(driver, "origin")
        (place / origin.handle / "file").write_text("x")
        with Crash.armed():
            driver.clone(origin, "copy", LocalOptions())

    def crashed(place: Path) -> None:
        driver = LocalDriver(LocalConfig(root=place))
        origin = _volume(driver, "origin")
        copies = [name for name in _entries(place) if name.startswith("copy")]
        assert all((place / name / "file").exists() for name in copies)
        handle = driver.clone(origin, "copy", LocalOptions())
        assert (place / handle / "file").read_text() == "x"
        assert len(_entries(place)) == 2
        driver.delete(Volume("copy", "local", handle, AccessMode.SHARED, LocalOptions()))
        assert not list(place.glob(".copy*"))

    survives_every_crash(tmp_path, clone, crashed)


@pytest.mark.root
def test_full_file_system_leaves_no_half_copy(small_disk: Path) -> None:
    """A clone that does not fit says how much is free, and takes nothing."""
    driver = LocalDriver(LocalConfig(root=small_disk / "volumes"))
    origin = _volume(driver, "origin")
    _directory(driver, origin).joinpath("big").write_bytes(os.urandom(40 << 20))
    with pytest.raises(VolplugError, match="free"):
        driver.clone(origin, "copy", LocalOptions())
    assert _entries(driver.config.root) == [origin.handle]
    assert not list(driver.config.root.glob(".copy*"))


@pytest.mark.root
def test_read_only_file_system_is_access_denied(small_disk: Path) -> None:
    """A disk that the kernel remounted read-only is told as such."""
    driver = LocalDriver(LocalConfig(root=small_disk / "volumes"))
    volume = _volume(driver)
    with _read_only(small_disk):
        for verb in (lambda: driver.create("other", LocalOptions()), lambda: driver.delete(volume)):
            with pytest.raises(AccessDenied, match="Read-only"):
                verb()
    driver.delete(volume)


@contextmanager
def _read_only(disk: Path) -> Iterator[None]:
    run(["mount", "-o", "remount,ro", disk])
    try:
        yield
    finally:
        run(["mount", "-o", "remount,rw", disk])


def test_delete_does_not_wait_for_a_large_tree(
    driver: LocalDriver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes while the files are still going; they go without anybody's help."""
    volume = _volume(driver)
    may_go = threading.Event()
    empty = driver._trash._empty

    def waiting() -> None:
        may_go.wait()
        empty()

    monkeypatch.setattr("volplug_local._trash._WAIT_S", 0.0)
    monkeypatch.setattr(driver._trash, "_empty", waiting)
    driver.delete(volume)
    assert _entries(root) == []
    [left] = root.joinpath(".trash").iterdir()
    may_go.set()
    for thread in threading.enumerate():
        if thread.name == "volplug-purge":
            thread.join()
    assert not left.exists()
