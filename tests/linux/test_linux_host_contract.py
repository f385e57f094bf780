"""The Linux host keeps the contracts, with real mounts, loop devices and file systems."""

from collections.abc import Callable

import pytest

from tests.linux.conftest import Machine
from tests.machine import need_program
from volplug.linux import LinuxHost
from volplug.testing import DiskContract, HostContract, HostFixtures, MountContract

pytestmark = pytest.mark.root

_MIB = 1024 * 1024


class _OnMachine(HostFixtures):
    @pytest.fixture
    def reopen(self, machine: Machine) -> Callable[[], LinuxHost]:
        """Return a maker of hosts on one machine."""
        return machine.host

    @pytest.fixture
    def vanish(self, machine: Machine) -> Callable[[str], None]:
        """Unmount behind the host's back."""
        return machine.vanish


class TestTrees(_OnMachine, HostContract, MountContract):
    """Directories, bind-mounted."""


class TestExt4(_OnMachine, DiskContract):
    """ext4 on loop devices."""

    fstype = pytest.fixture(lambda _: "ext4")
    disk_bytes = pytest.fixture(lambda _: 32 * _MIB)


class TestXfs(_OnMachine, DiskContract):
    """xfs on loop devices."""

    disk_bytes = pytest.fixture(lambda _: 320 * _MIB)

    @pytest.fixture
    def fstype(self) -> str:
        """Name the file system."""
        need_program("mkfs.xfs", "xfsprogs")
        return "xfs"


class TestBtrfs(_OnMachine, DiskContract):
    """btrfs on loop devices."""

    disk_bytes = pytest.fixture(lambda _: 128 * _MIB)

    @pytest.fixture
    def fstype(self) -> str:
        """Name the file system."""
        need_program("mkfs.btrfs", "btrfs-progs")
        return "btrfs"
