"""Mounting trees: programs, options, mountpoints, and what must not happen under a mount."""

import os
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.linux.conftest import Machine, namespace
from volplug.deadline import deadline
from volplug.errors import Busy, DeadlineExceeded, HostError, Unsupported
from volplug.linux import LinuxHost, mount_options, mountinfo, mounting, mountpoint
from volplug.source import Share
from volplug.testing import Known
from volplug.volume import Owner

pytestmark = pytest.mark.root


@pytest.fixture
def share(tmp_path: Path) -> Share:
    """Return a directory of this machine."""
    (tmp_path / "tree").mkdir()
    return Share("bind", str(tmp_path / "tree"))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the mount program of a file system `fake`, which is yet to be written."""
    programs = tmp_path / "sbin"
    programs.mkdir()
    monkeypatch.setattr(mounting, "HELPER_DIRECTORIES", (programs,))
    return programs / "mount.fake"


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_nobody_can_write_under_a_mount(machine: Machine, host: LinuxHost, share: Share) -> None:
    """When a mount vanishes, even root cannot write to what lay below, and stage works again."""
    known = Known()
    path = known.stage(host, "v", share)
    machine.vanish("v")
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0
    with pytest.raises(PermissionError):
        (path / "file").touch()
    known.stage(host, "v", share)
    host.unstage("v")
    assert not path.exists()


def test_what_was_given_up_can_be_deleted_below_its_mount(
    machine: Machine, host: LinuxHost, share: Share
) -> None:
    """Whoever unmounts all of a managed plugin can delete it; a mount goes on until then."""
    path = Known().stage(host, "v", share)
    mountpoint.give_up(machine.mount_dir)
    (path / "file").touch()
    machine.vanish("v")
    path.rmdir()


def test_files_under_a_mount_are_not_hidden(
    machine: Machine, host: LinuxHost, share: Share
) -> None:
    """What somebody wrote where the volume belongs is told, not covered, and not deleted."""
    path = machine.mount_dir / "v"
    path.mkdir(parents=True)
    (path / "precious").touch()
    with pytest.raises(HostError, match="move them away"):
        Known().stage(host, "v", share)
    with pytest.raises(HostError, match="look what is there"):
        host.unstage("v")
    assert (path / "precious").exists()
    (path / "precious").unlink()


def test_mountpoint_is_never_removed_with_files(machine: Machine) -> None:
    """rmdir, and nothing else."""
    path = machine.base / "point"
    mountpoint.make(path)
    mountpoint.make(path)
    mountpoint.remove(path)
    mountpoint.remove(path)
    path.mkdir()
    (path / "file").touch()
    with pytest.raises(HostError):
        mountpoint.remove(path)
    assert (path / "file").exists()


@pytest.mark.parametrize(
    "source", ["relative", "/no/such/directory", "/etc/passwd", "/proc/self/cwd"]
)
def test_bind_wants_a_real_directory(host: LinuxHost, source: str) -> None:
    """Not a file, not a link, not something relative."""
    with pytest.raises(HostError, match="not a directory of this machine"):
        Known().stage(host, "v", Share("bind", source))


def test_own_flags_of_a_source_are_kept(host: LinuxHost, machine: Machine) -> None:
    """A source that is mounted noexec and read only is not made more than that by our bind."""
    source = machine.base / "adopted"
    source.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,ro", "none", source], check=True)
    Known().stage(host, "v", Share("bind", str(source)))
    mount = mountinfo.read().at(machine.mount_dir / "v")
    assert mount
    assert {"noexec", "ro", "nosuid", "nodev"} <= set(mount.options)
    host.unstage("v")
    subprocess.run(["umount", source], check=True)


def test_bind_knows_its_options(host: LinuxHost, share: Share) -> None:
    """An option that a bind mount can have works, another one is refused with a list."""
    path = Known().stage(host, "v", Share("bind", share.source, ("noexec", "noatime")))
    assert os.statvfs(path).f_flag & os.ST_NOEXEC
    with pytest.raises(HostError, match="possible: noatime"):
        Known().stage(host, "w", Share("bind", share.source, ("vers=4.2",)))
    host.unstage("v")


def test_our_options_come_last() -> None:
    """Whatever was given, nosuid, nodev and ro win."""
    text = mount_options.options(["vers=4.2", "rw"], "errors=remount-ro", read_only=True)
    assert text == "vers=4.2,rw,errors=remount-ro,nosuid,nodev,ro"


def test_kernel_file_systems_need_no_program(host: LinuxHost) -> None:
    """What the kernel mounts by itself is mounted with nosuid and nodev too."""
    path = Known().stage(host, "v", Share("tmpfs", "none", ("size=1m",)), Owner(mode=0o700))
    mount = mountinfo.read().at(path)
    assert mount
    assert mount.fstype == "tmpfs"
    assert {"nosuid", "nodev"} <= set(mount.options)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_missing_program_is_named(host: LinuxHost) -> None:
    """The refusal says which program, and who knows the package."""
    with pytest.raises(Unsupported, match=r"mount\.nonesuch.*volplug doctor"):
        Known().stage(host, "v", Share("fuse.nonesuch", "server:/volume"))


def test_program_gets_plain_arguments(host: LinuxHost, helper: Path, tmp_path: Path) -> None:
    """Source, directory and options, each as one argument, without a shell."""
    _program(helper, f'printf "%s\\n" "$@" >{tmp_path}/argv; exec mount -t tmpfs none "$2"')
    share = Share("fuse.fake", "server:/a;touch b", ("vers=3",))
    path = Known().stage(host, "v", share)
    given = (tmp_path / "argv").read_text().splitlines()
    assert given == ["server:/a;touch b", str(path), "-o", "vers=3,nosuid,nodev"]


def test_success_without_a_mount_is_a_failure(host: LinuxHost, helper: Path) -> None:
    """mount.glusterfs was seen to return 0 with nothing mounted."""
    _program(helper, "exit 0")
    with pytest.raises(HostError, match="reported success, but nothing is mounted"):
        Known().stage(host, "v", Share("fake", "server:/x"))
    assert host.path("v") is None


def test_failure_carries_the_words_and_a_cure(host: LinuxHost, helper: Path) -> None:
    """The tool's own words, and what can be done."""
    _program(helper, "echo 'mount.fake: access denied by server while mounting' >&2; exit 32")
    with pytest.raises(HostError, match=r"access denied by server.*does not export this"):
        Known().stage(host, "v", Share("fake", "server:/x"))


def test_stuck_program_costs_its_own_volume_only(
    host: LinuxHost, helper: Path, share: Share, tmp_path: Path
) -> None:
    """While one volume waits for a dead server, others come and go, and its repetition is Busy."""
    started = tmp_path / "started"
    os.mkfifo(started)
    _program(helper, f"echo >{started}; exec sleep 1000")
    stuck = Share("fake", "dead:/x")

    def wait() -> None:
        with deadline(12):
            Known().stage(host, "stuck", stuck)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        started.read_text()
        with deadline(10):
            Known().stage(host, "v", share)
            host.unstage("v")
            assert host.path("stuck") is None
            assert host.users("stuck") == 0
            assert host.staged() == {"stuck"}
        with pytest.raises(Busy), deadline(0.05):
            Known().stage(host, "stuck", stuck)
        with pytest.raises(DeadlineExceeded, match="did not finish"):
            waiting.result()
    host.unstage("stuck")


def test_many_volumes_at_once(host: LinuxHost, machine: Machine) -> None:
    """Eight threads with volumes of their own share the one directory."""
    start = threading.Barrier(8)

    def live(number: int) -> None:
        tree = machine.base / f"tree-{number}"
        tree.mkdir()
        start.wait()
        for _ in range(3):
            path = Known().stage(host, f"v{number}", Share("bind", str(tree)))
            mount = mountinfo.read().at(path)
            assert mount
            assert mount.shared
            host.unstage(f"v{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(live, range(8)))
    assert machine.mounted() == []


def test_mounts_reach_engines_in_other_namespaces(
    machine: Machine, host: LinuxHost, share: Share
) -> None:
    """An engine that began before a volume was staged sees it, and sees it go."""
    (machine.base / "first").mkdir()
    Known().stage(host, "first", Share("bind", str(machine.base / "first")))
    with namespace("true", propagation="slave") as engine:
        path = Known().stage(host, "v", share)
        assert mountinfo.read(str(engine)).at(path)
        host.unstage("v")
        assert not mountinfo.read(str(engine)).at(path)


def test_shared_directory_is_left_as_it_was(
    machine: Machine, host: LinuxHost, share: Share
) -> None:
    """Where mounts are shared already, as systemd has it, nothing is mounted besides the volume."""
    machine.mount_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", machine.mount_dir], check=True)
    subprocess.run(["mount", "--make-shared", machine.mount_dir], check=True)
    path = Known().stage(host, "v", share)
    assert machine.mounted() == [path, machine.mount_dir]
    host.unstage("v")
    assert machine.mounted() == [machine.mount_dir]
    subprocess.run(["umount", machine.mount_dir], check=True)


def test_mount_without_a_record_is_replaced(
    machine: Machine, host: LinuxHost, share: Share
) -> None:
    """What lies where the volume belongs, and is not the volume, is not taken for it."""
    (machine.mount_dir / "v").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", machine.mount_dir / "v"], check=True)
    assert host.path("v") is None
    path = Known().stage(host, "v", share)
    assert mountinfo.read().shown(path) == mountinfo.read().shown(Path(share.source))
    host.unstage("v")


def test_other_source_is_staged_once_the_first_is_gone(
    machine: Machine, host: LinuxHost, share: Share
) -> None:
    """After a reboot a backend may answer with other portals: the stale record is no obstacle."""
    Known().stage(host, "v", share)
    machine.vanish("v")
    other = machine.base / "other"
    other.mkdir()
    path = Known().stage(host, "v", Share("bind", str(other)))
    (path / "here").touch()
    assert (other / "here").exists()


def test_unreadable_record_is_named(machine: Machine, host: LinuxHost, share: Share) -> None:
    """A broken record is refused by its path, and spoils no listing."""
    Known().stage(host, "v", share)
    record = machine.base / "state/staged/v.json"
    text = record.read_text()
    record.write_text("{")
    assert host.path("v") is None
    assert host.staged() == {"v"}
    with pytest.raises(HostError, match=str(record)):
        host.unstage("v")
    record.write_text(text)


def test_record_of_another_boot_is_only_a_hint(machine: Machine, share: Share) -> None:
    """What was mounted in an earlier life of the machine is not taken for mounted now."""
    before = LinuxHost(machine.base / "state", machine.mount_dir, boot_id="earlier")
    known = Known()
    known.stage(before, "v", share)
    after = machine.host()
    assert before.path("v")
    assert after.path("v") is None
    known.stage(after, "v", share)


def test_mount_that_went_away_is_told(machine: Machine) -> None:
    """A share that unmounted itself is seen missing, and is there again for its next user."""
    host, known, share = machine.host(), Known(), Share("tmpfs", "none", ("size=1m",))
    path = known.stage(host, "v", share)
    assert host.health("v") == ""
    machine.vanish("v")
    assert host.health("v").startswith("lost: ")
    assert host.path("v") is None
    assert known.stage(host, "v", share) == path
    assert host.health("v") == ""
