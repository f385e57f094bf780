"""Who uses a volume: real mount namespaces, and the copies in them that are no users."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.linux.conftest import Machine, namespace, umount
from volplug.errors import HostError, VolumeInUse
from volplug.linux import LinuxHost
from volplug.source import Device, LoopFile, Share
from volplug.testing import Known

pytestmark = pytest.mark.root


@pytest.fixture
def path(machine: Machine, host: LinuxHost) -> Path:
    """Return the directory of a staged tree."""
    (machine.base / "tree").mkdir()
    return Known().stage(host, "v", Share("bind", str(machine.base / "tree")))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return a directory to mount on."""
    directory = tmp_path / "target"
    directory.mkdir()
    return directory


@pytest.fixture
def disk_path(machine: Machine, host: LinuxHost) -> Path:
    """Return the directory of a staged disk."""
    image = machine.base / "disk.img"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    return Known().stage(host, "v", Device(LoopFile(image), "ext4"))


@pytest.mark.parametrize("propagation", ["private", "slave", "shared"])
def test_copy_in_another_namespace_is_no_user(
    host: LinuxHost, path: Path, propagation: str
) -> None:
    """A daemon that has merely copied this machine's mounts uses nothing."""
    with namespace("true", propagation=propagation):
        assert host.users("v") == 0
        host.unstage("v")
    assert host.path("v") is None
    assert path


def test_managed_plugins_mounts_are_no_users_under_the_engines_path(
    machine: Machine, target: Path
) -> None:
    """An engine shows a managed plugin's mounts below a path of its own; they are the same."""
    engines, plugins = machine.base / "propagated-mount", machine.base / "in-plugin"
    for directory in (engines, plugins, machine.base / "tree"):
        directory.mkdir()
    subprocess.run(["mount", "--bind", engines, engines], check=True)
    subprocess.run(["mount", "--make-shared", engines], check=True)
    subprocess.run(["mount", "--bind", engines, plugins], check=True)
    host = LinuxHost(machine.base / "state", plugins)
    Known().stage(host, "v", Share("bind", str(machine.base / "tree")))
    assert engines / "v" in machine.mounted()
    assert host.users("v") == 0
    with namespace(f"mount --bind {engines}/v {target}", propagation="slave"):
        assert host.users("v") == 1
    host.unstage("v")
    assert set(machine.mounted()) == {engines, plugins}
    for directory in (plugins, engines):
        umount(directory)


def test_subdirectory_counts(host: LinuxHost, path: Path, target: Path) -> None:
    """A container may have mounted only a part of the volume (`volume-subpath`)."""
    (path / "sub").mkdir()
    with namespace(f"mount --bind {path}/sub {target}"):
        assert host.users("v") == 1


def test_raw_directory_of_a_disk_counts(
    host: LinuxHost, machine: Machine, disk_path: Path, target: Path
) -> None:
    """Whoever has another part of the disk's file system uses the disk."""
    aside = machine.mount_dir / ".devices" / "v"
    with namespace(f"mount --bind {aside} {target}"):
        assert host.users("v") == 1
        with pytest.raises(VolumeInUse):
            host.unstage("v")
    assert disk_path


def test_another_mountpoint_of_our_own_counts(host: LinuxHost, path: Path, target: Path) -> None:
    """A running `docker cp` mounts the volume in the engine's, which is our own, namespace."""
    subprocess.run(["mount", "--bind", path, target], check=True)
    try:
        assert host.users("v") == 1
        with pytest.raises(VolumeInUse, match=f"mounted at {target} on this machine"):
            host.unstage("v")
    finally:
        umount(target)
    assert host.users("v") == 0


def test_refusal_names_the_process(host: LinuxHost, path: Path, target: Path) -> None:
    """An operator learns who has it."""
    with (
        namespace(f"mount --bind {path} {target}") as process,
        pytest.raises(VolumeInUse, match=rf"'v' is in use here: mounted by process {process} "),
    ):
        host.unstage("v")


def test_adopted_mountpoint_is_not_its_own_user(
    machine: Machine, host: LinuxHost, target: Path
) -> None:
    """A source that is itself a mountpoint stays one, here and in copies, without being a use."""
    source = machine.base / "adopted"
    source.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", source], check=True)
    try:
        path = Known().stage(host, "v", Share("bind", str(source)))
        with namespace("true"):
            assert host.users("v") == 0
        with namespace(f"mount --bind {path} {target}"):
            assert host.users("v") == 1
        host.unstage("v")
    finally:
        umount(source)


def test_numbers_that_came_to_mean_something_else_are_nobody(
    machine: Machine, host: LinuxHost, disk_path: Path, target: Path
) -> None:
    """A loop device's number is given to the next image: its users are not ours."""
    machine.vanish("v")
    other = machine.base / "other.img"
    with other.open("wb") as file:
        file.truncate(24 << 20)
    taken = Known().stage(host, "other", Device(LoopFile(other), "ext4"))
    with namespace(f"mount --bind {taken} {target}"):
        assert host.users("other") == 1
        assert host.users("v") == 0
        host.unstage("v")
    assert disk_path


def test_disk_pinned_by_a_leaked_copy_is_told(
    machine: Machine, host: LinuxHost, disk_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private copy keeps the disk alive after our unmount: it is not called free before it is."""
    monkeypatch.setattr("volplug.linux.way_down._RELEASE_S", 0.2)
    with namespace("true") as process:
        assert host.users("v") == 0
        with pytest.raises(HostError, match=f"mounted by process {process}"):
            host.unstage("v")
        assert host.staged() == {"v"}
        assert machine.attached()
    host.unstage("v")
    assert machine.attached() == []
    assert disk_path


def test_working_directory_keeps_a_volume(host: LinuxHost, path: Path) -> None:
    """A shell on this machine that stands in the volume is told, and nothing is unmounted."""
    with subprocess.Popen(["cat"], cwd=path, stdin=subprocess.PIPE):
        with pytest.raises(VolumeInUse, match="working directory"):
            host.unstage("v")
        assert host.path("v") == path


def test_root_that_may_not_look_is_told_so() -> None:
    """Without CAP_SYS_PTRACE nothing may be concluded from what is not seen."""
    code = "from volplug.linux.footprint import other_namespaces; list(other_namespaces())"
    argv = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    with namespace(":"):
        asked = subprocess.run(
            [*argv, sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert "may not be looked at" in asked.stderr
    assert "CAP_SYS_PTRACE" in asked.stderr
