"""Disks of their own for the drivers' tests: a file, a loop device, a file system."""

import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import tested
from tests.machine import need_program, need_root
from volplug.command import run

_LINUX = f"Linux {platform.release().partition('-')[0]}"
tested.against(["local"], _LINUX, "tests/drivers/test_local")
tested.against(["loop"], _LINUX, "tests/drivers/test_loop")
MakeDisk = Callable[[str], Path]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Make file systems of a kind, mounted below the test's directory until it ends."""
    with ExitStack() as disks:
        yield lambda fstype: disks.enter_context(_disk(tmp_path, fstype))


@pytest.fixture
def small_disk(make_disk: MakeDisk) -> Path:
    """Return an ext4 of 64 MiB."""
    return make_disk("ext4")


@contextmanager
def _disk(tmp_path: Path, fstype: str) -> Iterator[Path]:
    need_root()
    package = {"ext4": "e2fsprogs", "xfs": "xfsprogs", "btrfs": "btrfs-progs"}[fstype]
    mkfs = need_program(f"mkfs.{fstype}", package)
    image, disk = tmp_path / f"{fstype}.img", tmp_path / fstype
    with image.open("wb") as file:
        file.truncate((64 if fstype == "ext4" else 512) << 20)
    disk.mkdir()
    run([mkfs, "-q", image])
    run(["mount", "-o", "loop", image, disk])
    try:
        yield disk
    finally:
        run(["umount", disk])
