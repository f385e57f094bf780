"""Reading the kernel's list of mounts."""

import subprocess
from pathlib import Path

import pytest

from tests.linux.conftest import umount
from tests.machine import need_linux, need_root
from volplug.linux import mountinfo
from volplug.linux.mountinfo import Mount, MountWatch

_TEXT = r"""
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 21 0:26 / /dev/shm rw,nosuid shared:4 master:7 - tmpfs tmpfs rw
40 21 254:0 /srv/a\040b /mnt/a\040b\134c rw,nodev shared:9 - ext4 /dev/vda rw
41 40 7:0 / /mnt/a\040b\134c ro - ext4 /dev/loop0 ro
42 21 0:40 / /mnt/n rw - nfs srv:/x\011y rw,vers=3
43 21 0:41 / /mnt/empty rw - tmpfs  rw
"""


def test_fields_are_read() -> None:
    """Optional fields may be many or none, and escaped characters are themselves again."""
    mounts = mountinfo.parse(_TEXT)
    assert mounts.at(Path("/dev/shm")) == Mount(
        30,
        21,
        "0:26",
        "/",
        "/dev/shm",
        ("rw", "nosuid"),
        ("shared:4", "master:7"),
        "tmpfs",
        "tmpfs",
        ("rw",),
    )
    nfs = mounts.at(Path("/mnt/n"))
    assert nfs
    assert nfs.source == "srv:/x\ty"
    assert nfs.tags == ()
    empty = mounts.at(Path("/mnt/empty"))
    assert empty
    assert empty.source == ""


def test_topmost_of_a_stack_is_found() -> None:
    """What lies on top is what is seen."""
    top = mountinfo.parse(_TEXT).at(Path(r"/mnt/a b\c"))
    assert top
    assert top.device == "7:0"


def test_topmost_does_not_depend_on_the_order() -> None:
    """Newer kernels list mounts by another order than they were made in."""
    lines = [line for line in _TEXT.splitlines() if line]
    top = mountinfo.parse("\n".join(reversed(lines))).at(Path(r"/mnt/a b\c"))
    assert top
    assert top.device == "7:0"


def test_places_are_the_same_through_binds() -> None:
    """A directory has one place, by whatever mount it is reached."""
    mounts = mountinfo.parse(_TEXT)
    assert mounts.under(Path("/srv/x")) == ("254:0", "/srv/x")
    assert mounts.under(Path("/dev/shm")) == ("254:0", "/dev/shm")
    assert mounts.shown(Path("/dev/shm")) == ("0:26", "/")
    [bind] = [mount for mount in mounts if mount.number == 40]
    assert mounts.place_of(bind) == ("254:0", r"/mnt/a b\c")


def test_place_outside_the_namespace_is_unknown() -> None:
    """The root of a container sits on what the container cannot see."""
    mounts = mountinfo.parse(_TEXT)
    root = mounts.at(Path("/"))
    assert root
    assert mounts.place_of(root) is None


def test_containing_mount_is_the_nearest() -> None:
    """A path lies in the mount with the longest mountpoint, and not in one with a similar name."""
    mounts = mountinfo.parse(_TEXT)
    assert mounts.containing(Path("/mnt/n/deep/er")).device == "0:40"
    assert mounts.containing(Path("/mnt/nn")).device == "254:0"


def test_own_mounts_can_be_read() -> None:
    """The real list is readable and has a root."""
    need_linux()
    assert mountinfo.read().at(Path("/")) is not None


@pytest.mark.root
def test_watch_sees_every_change(tmp_path: Path) -> None:
    """The remembered list is as new as the kernel's, and not read again without a change."""
    need_root()
    watch = MountWatch()
    assert watch.now() is watch.now()
    for _ in range(3):
        subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
        assert watch.now().at(tmp_path) is not None
        umount(tmp_path)
        assert watch.now().at(tmp_path) is None
