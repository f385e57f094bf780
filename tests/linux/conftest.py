"""A machine to try the Linux host on: directories of its own, and nothing left behind."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machine import need_program, need_root
from volplug.deadline import deadline, wait_until
from volplug.linux import LinuxHost, mountinfo, mountpoint
from volplug.linux.sysfs import SYSFS

_CLONE_NEWNS = 0x00020000


@dataclass(frozen=True)
class Machine:
    """The directories of a host, and what the kernel shows of them."""

    base: Path

    @property
    def mount_dir(self) -> Path:
        """Where volumes are mounted."""
        return self.base / "mounts"

    def host(self) -> LinuxHost:
        """Return a new host on the same directories, as after a restart."""
        return LinuxHost(self.base / "state", self.mount_dir)

    def mounted(self) -> list[Path]:
        """Return the mountpoints below the machine's directory, the last made first."""
        below = [mount.mountpoint for mount in mountinfo.read()]
        return [Path(path) for path in reversed(below) if Path(path).is_relative_to(self.base)]

    def attached(self) -> list[str]:
        """Return the images below the machine's directory that have a loop device."""
        images = [file.read_text().strip() for file in SYSFS.glob("block/loop*/loop/backing_file")]
        return [image for image in images if image.startswith(f"{self.base}/")]

    def vanish(self, name: str) -> None:
        """Unmount a volume behind the host's back."""
        for path in (self.mount_dir / name, self.mount_dir / ".devices" / name):
            while path in self.mounted():
                umount(path)

    def clean_up(self) -> list[str]:
        """Unmount everything, and return what should not have been there."""
        left = [str(path) for path in self.mounted()]
        for path in self.mounted():
            umount(path)
        for path in (*self.mount_dir.glob("*"), *self.mount_dir.glob(".devices/*")):
            if path.name != ".devices":
                left.append(str(path))
                mountpoint.remove(path)
        return left


@pytest.fixture(scope="module", autouse=True)
def own_namespace() -> Iterator[None]:
    """Keep the tests' mounts to themselves.

    Any program on this machine that begins a mount namespace meanwhile, as engines under test do,
    would keep copies of them, and with those our disks.
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    assert libc.unshare(_CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    yield
    assert libc.setns(before, _CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    os.close(before)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a machine whose volumes are all taken down afterwards."""
    need_root()
    need_program("mkfs.ext4", "e2fsprogs")
    machine = Machine(tmp_path)
    yield machine
    host = machine.host()
    for name in host.staged():
        host.unstage(name)
    left = machine.clean_up()
    with deadline(10):
        wait_until(lambda: not machine.attached(), "loop devices to be free")
    assert left == [], "the host left mounts or mountpoints behind"


@pytest.fixture
def host(machine: Machine) -> LinuxHost:
    """Return the machine's host."""
    return machine.host()


def umount(path: Path) -> None:
    """Unmount what lies topmost on a path."""
    subprocess.run(["umount", "-c", path], check=True)


@contextmanager
def namespace(command: str, *, propagation: str = "private") -> Iterator[int]:
    """Run a shell command in a mount namespace of its own, and keep that alive inside the block."""
    argv = [
        "unshare",
        "-m",
        "--propagation",
        propagation,
        "sh",
        "-ec",
        f"{command}\necho\nread end",
    ]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == b"\n", f"the namespace could not be made: {command}"
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[Path], AbstractContextManager[int]]:
    """Bind a path in another namespace, as a container runtime does."""
    need_root()
    target = tmp_path / "container"
    target.mkdir()
    return lambda path: namespace(f"mount --bind {path} {target}")
