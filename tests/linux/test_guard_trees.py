"""Users of a tree that the guard freezes and stops: containers by their cgroup, FUSE by its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.linux.guarded import HEALED_S, ROOT, Guarded, alive, boottime_s
from tests.machine import need_root
from volplug.deadline import deadline, wait_until
from volplug.guard import State
from volplug.linux import fuse, mountinfo, pulse
from volplug.linux.guard import Post
from volplug.linux.pulse import Answer

pytestmark = pytest.mark.root

_COUNT = "n=0; while :; do n=$((n+1)); echo $n > {file}; sleep 0.005; done"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """A guard at a post of its own, with nothing armed yet."""
    need_root()
    (tmp_path / "mounts").mkdir()
    guarded = Guarded(Post(tmp_path / "state", (tmp_path / "mounts").resolve(), "this boot"))
    guarded.begin()
    yield guarded
    guarded.end()
    mounted = [Path(mount.mountpoint) for mount in mountinfo.read()]
    for path in reversed([path for path in mounted if path.is_relative_to(tmp_path)]):
        subprocess.run(["umount", "-l", "-i", path], check=True)


@pytest.fixture
def tree(guarded: Guarded) -> Path:
    """The directory of a volume that is a tree of no disk, as a share is."""
    target = guarded.post.mount_dir / "data"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "server:/data", target], check=True)
    return target


class Container:
    """A process tree in a mount namespace of its own, which counts in a file of the volume."""

    def __init__(self, tree: Path, base: Path, name: str, group: Path | None) -> None:
        inside = base / name
        inside.mkdir()
        enter = f"echo $$ > {group}/cgroup.procs\n" if group else ""
        script = f"{enter}mount --bind {tree} {inside}\n" + _COUNT.format(file=inside / name)
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-ec", script]
        self.file = tree / name
        self.process = subprocess.Popen(argv, start_new_session=True)
        with deadline(20.0):
            wait_until(lambda: self.count() > 2, "its count", poll_s=0.01)

    def count(self) -> int:
        """Return how far it has come."""
        with suppress(OSError, ValueError):
            return int(self.file.read_text())
        return 0

    def moves(self) -> bool:
        """Say whether it goes on counting, after a moment that is long for it."""
        before = self.count()
        try:
            with deadline(0.5):
                wait_until(lambda: self.count() > before + 1, "another count", poll_s=0.01)
        except Exception:  # noqa: BLE001  that it stands still is what was asked
            return False
        return True

    def end(self) -> None:
        """Kill it with its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20.0)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Callable[[Path, str, str], Container]]:
    """Begin containers: one tree, one name, and the kind of hierarchy that its cgroup is in."""
    containers: list[Container] = []
    groups: list[Path] = []

    def begin(tree: Path, name: str, kind: str) -> Container:
        group = None
        if kind != "none":
            group = _hierarchy(kind) / f"volplug-guard-{os.getpid()}-{name}"
            group.mkdir()
            groups.append(group)
        containers.append(Container(tree, tmp_path, name, group))
        return containers[-1]

    yield begin
    for each in containers:
        each.end()
    for group in groups:
        with suppress(OSError):
            (group / "freezer.state").write_text("THAWED")
        with deadline(20.0):
            wait_until(partial(_removed, group), "the cgroup to be empty")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True


def _hierarchy(kind: str) -> Path:
    """Return where a hierarchy is mounted: `unified`, or version 1's `freezer`."""
    for mount in mountinfo.read():
        unified = kind == "unified" and mount.fstype == "cgroup2"
        if unified or (mount.fstype == "cgroup" and kind in mount.super_options):
            return Path(mount.mountpoint)
    pytest.skip(f"needs the cgroup hierarchy {kind}: it is not mounted here")


@pytest.mark.parametrize("kind", ["unified", "freezer", "none"])
def test_users_of_a_tree_are_frozen_thawed_and_ended(
    guarded: Guarded, tree: Path, container: Callable[[Path, str, str], Container], kind: str
) -> None:
    """All users, by cgroup or one by one; a renewal lets them go on; the neighbour goes on."""
    other = guarded.post.mount_dir / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "server:/other", other], check=True)
    user, neighbour = container(tree, "user", kind), container(other, "neighbour", kind)
    guarded.arm("data", stop_s=HEALED_S)
    guarded.wait("data", State.FROZEN)
    with deadline(20.0):
        wait_until(lambda: not user.moves(), "the freeze")
    assert user.process.poll() is None
    guarded.ask(do="renew", base_s=boottime_s())
    with deadline(20.0):
        wait_until(user.moves, "the thaw")
    guarded.wait("data", State.FROZEN)
    guarded.ask(do="stop")
    guarded.wait("data", State.STOPPED, done=True)
    assert user.process.wait(20.0) == -signal.SIGKILL
    assert neighbour.moves()
    assert mountinfo.read().at(tree) is not None


def test_a_service_that_only_sees_the_tree_is_spared(
    guarded: Guarded, tree: Path, container: Callable[[Path, str, str], Container]
) -> None:
    """A namespace with copies of our mounts, as each sandboxed service has, uses no volume."""
    user = container(tree, "user", "none")
    argv = ["unshare", "-m", "--propagation", "private", "sleep", "600"]
    with subprocess.Popen(argv, start_new_session=True) as service:
        try:
            guarded.arm("data")
            guarded.wait("data", State.STOPPED, done=True)
            assert user.process.wait(20.0) == -signal.SIGKILL
            assert alive(service.pid)
        finally:
            service.kill()


@pytest.fixture
def daemons(guarded: Guarded) -> Iterator[dict[str, int]]:
    """The daemons of two FUSE volumes, as mount programs that volplug started leave them."""
    daemons = {}
    for name in ("data", "other"):
        target = guarded.post.mount_dir / name
        target.mkdir()
        mark = {"VOLPLUG_LEASE": f"{guarded.post.mount_dir}/{name}@7"}
        argv = [sys.executable, "-m", "tests.linux.fuse_share", str(target)]
        done = subprocess.run(
            argv, cwd=ROOT, env=os.environ | mark, check=True, stdout=subprocess.PIPE, text=True
        )
        daemons[name] = int(done.stdout)
    yield daemons
    for daemon in daemons.values():
        with suppress(ProcessLookupError):
            os.kill(daemon, signal.SIGKILL)


def test_a_fuse_file_system_is_cut_off_and_its_daemon_ended(
    guarded: Guarded, daemons: dict[str, int]
) -> None:
    """Users get an error at once, even of a daemon that is stopped, and it passes nothing on."""
    target = guarded.post.mount_dir / "data"
    os.kill(daemons["data"], signal.SIGSTOP)
    with subprocess.Popen(["ls", target], stderr=subprocess.DEVNULL) as reader:
        guarded.arm("data")
        guarded.wait("data", State.STOPPED, done=True)
        assert reader.wait(20.0) != 0
    with deadline(20.0):
        wait_until(lambda: not alive(daemons["data"]), "the daemon's end")
    assert pulse.ask(guarded.post.mount_dir / "other") is Answer.FINE
    mount = mountinfo.read().at(target)
    assert mount is not None
    assert fuse.is_fuse(mount)
