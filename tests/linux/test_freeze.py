"""A disk is held still while it is wanted, and never longer, whoever is killed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.linux.conftest import Machine
from volplug.deadline import deadline, wait_until
from volplug.errors import HostError, VolumeInUse
from volplug.host import Filesystem, Formatted
from volplug.linux import freeze
from volplug.testing import Image, Known

pytestmark = pytest.mark.root


@pytest.fixture(params=["ext4", "xfs", "btrfs"])
def fstype(request: pytest.FixtureRequest) -> str:
    """Return each kind of file system."""
    return str(request.param)


@pytest.fixture
def image(tmp_path: Path, fstype: str) -> Image:
    """Return an empty disk."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(320 << 20)
    return Image(path, fstype)


@pytest.fixture
def known() -> Known:
    """Return what is known of the disk."""
    return Known()


@pytest.fixture
def place(machine: Machine, known: Known, image: Image) -> Iterator[Path]:
    """Return the directory of a staged volume `v`."""
    host = machine.host()
    yield known.stage(host, "v", image.source)
    freeze.thaw(machine.mount_dir / ".devices/v")

    def unstaged() -> bool:
        with suppress(VolumeInUse):  # by a program that was told to end, and does
            host.unstage("v")
        return "v" not in host.staged()

    with deadline(60):
        wait_until(unstaged, "nobody to have the disk")


@pytest.fixture
def write(place: Path) -> Callable[[], threading.Thread]:
    """Begin to write a file, in a thread that ends with that."""

    def write() -> threading.Thread:
        thread = threading.Thread(target=(place / "file").write_text, args=["written"], daemon=True)
        thread.start()
        return thread

    return write


Write = Callable[[], threading.Thread]


def _ends(thread: threading.Thread) -> bool:
    thread.join(60)
    return not thread.is_alive()


def test_writers_wait_and_go_on(machine: Machine, write: Write, place: Path) -> None:
    """In the block nothing is written; after it everything is."""
    with machine.host().frozen("v") as still:
        writer = write()
        writer.join(0.5)
        assert writer.is_alive()
    assert _ends(writer)
    assert still.held
    assert (place / "file").read_text() == "written"


def test_writers_go_on_after_a_failure(machine: Machine, write: Write) -> None:
    """What goes wrong in the block ends the freeze and comes out."""
    with pytest.raises(ZeroDivisionError), machine.host().frozen("v"):
        raise ZeroDivisionError
    assert _ends(write())


def test_copy_in_the_block_is_a_volume(
    machine: Machine, place: Path, known: Known, image: Image, tmp_path: Path
) -> None:
    """A copy of a frozen disk holds what was written before, and is used beside its origin."""
    (place / "file").write_text("kept")
    host, copy = machine.host(), Image(tmp_path / "copy.img", image.fstype)
    with host.frozen("v") as still:
        image.copy_to(copy)
    assert still.held
    copied = Known(replace(known.filesystem, formatted=Formatted.CLONED))
    assert (copied.stage(host, "copy", copy.source) / "file").read_text() == "kept"
    assert copied.filesystem.uuid != known.filesystem.uuid
    host.unstage("copy")


def test_copy_of_a_disk_in_use_is_a_volume(
    machine: Machine, place: Path, known: Known, image: Image, tmp_path: Path
) -> None:
    """What was on the disk before a copy without a freeze is in it, once it is repaired."""
    with (place / "file").open("w") as file:
        file.write("kept")
        file.flush()
        os.fsync(file.fileno())
        directory = os.open(place, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        host, copy = machine.host(), Image(tmp_path / "copy.img", image.fstype)
        image.copy_to(copy)
    copied = Known(Filesystem(Formatted.CLONED, known.filesystem.fstype, known.filesystem.uuid))
    if image.fstype == "btrfs":
        with pytest.raises(HostError, match="unmount the origin, or mount the copy on another"):
            copied.stage(host, "copy", copy.source)
        host.unstage("v")
    assert (copied.stage(host, "copy", copy.source) / "file").read_text() == "kept"
    host.unstage("copy")


@pytest.mark.parametrize("fstype", ["ext4"], indirect=True)
def test_it_ends_when_its_time_is_up(machine: Machine, write: Write, tmp_path: Path) -> None:
    """Writers are not kept waiting for a slow backend, and the snapshot is not called whole."""
    place = machine.mount_dir / ".devices/v"
    with freeze.frozen(place, tmp_path / "notes/v", longest_s=0.3) as still:
        assert _ends(write())
    assert not still.held
    assert "0.3 s at most" in still.trouble


@pytest.mark.parametrize("fstype", ["ext4"], indirect=True)
def test_it_ends_with_the_process(machine: Machine, write: Write) -> None:
    """SIGKILL of whoever asked for it thaws the disk."""
    child = os.fork()
    if child == 0:
        with machine.host().frozen("v"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert _ends(write())


@pytest.mark.parametrize("fstype", ["ext4"], indirect=True)
def test_next_life_thaws_what_was_left(machine: Machine, write: Write) -> None:
    """Where everything was killed at once, the next start lets go."""
    directory = machine.mount_dir / ".devices/v"
    argv = [sys.executable, "-m", "volplug.linux.freeze", str(directory), "3600"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stdout.readline() == b"frozen\n"
        program.kill()
    notes = machine.base / "state/frozen"
    notes.mkdir(exist_ok=True)
    (notes / "v").touch()
    writer = write()
    writer.join(0.5)
    assert writer.is_alive()
    machine.host()
    assert _ends(writer)
    assert list(notes.iterdir()) == []


@pytest.mark.parametrize("fstype", ["ext4"], indirect=True)
def test_what_cannot_be_held_is_told(machine: Machine, place: Path, tmp_path: Path) -> None:
    """A directory that is no disk of ours, and a volume that is not here: told, not raised."""
    del place
    with machine.host().frozen("other") as still:
        pass
    assert "not mounted on this machine" in still.trouble
    with freeze.frozen(Path("/proc"), tmp_path / "notes/p") as still:
        pass
    assert not still.held
    assert "Operation not supported" in still.trouble
    with deadline(10):
        wait_until(lambda: not (tmp_path / "notes/p").exists(), "the note to go")
