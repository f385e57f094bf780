"""What the doctor reads of a machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from volplug.admin.machine import CAP_SYS_ADMIN, CAP_SYS_RESOURCE, Machine, Mount

Make = Callable[..., Machine]


@pytest.mark.parametrize(
    ("system", "program", "command"),
    [
        ("ID=debian", "mkfs.xfs", "apt-get install xfsprogs"),
        ("ID=ubuntu\nID_LIKE=debian", "mount.nfs", "apt-get install nfs-common"),
        ("ID=fedora", "mount.nfs", "dnf install nfs-utils"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "blkid", "dnf install util-linux"),
        ("ID=alpine", "xfs_growfs", "apk add xfsprogs-extra"),
        ("ID=debian", "mount.hall", "install the package that has mount.hall"),
    ],
)
def test_how_to_install(system: str, program: str, command: str, machine: Make) -> None:
    """The command is the distribution's own, and so is the package's name."""
    assert machine(system=system).install(program) == command


def test_programs(machine: Make) -> None:
    """A program is there if it can be run."""
    found = machine("mkfs.ext4")
    assert found.has_program("mkfs.ext4")
    assert not found.has_program("mkfs.xfs")


def test_capabilities(machine: Make) -> None:
    """Capabilities are bits of the effective set."""
    found = machine(capabilities=f"{1 << CAP_SYS_ADMIN:016x}")
    assert found.has_capability(CAP_SYS_ADMIN)
    assert not found.has_capability(CAP_SYS_RESOURCE)


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/var/lib/volplug", Mount(Path("/"), "ext4", shared=True)),
        ("/run/state", Mount(Path("/run"), "tmpfs", shared=False)),
        ("/srv/a b/state", Mount(Path("/srv/a b"), "nfs4", shared=True)),
        ("/srv/a", Mount(Path("/"), "ext4", shared=True)),
    ],
)
def test_mount_of(path: str, mount: Mount, machine: Make) -> None:
    """A path lies on the deepest mount above it, whatever its name is escaped as."""
    assert machine().mount_of(Path(path)) == mount


def test_may_write(machine: Make, tmp_path: Path) -> None:
    """A directory that does not exist yet is judged by the nearest one that does."""
    found = machine()
    (tmp_path / "machine" / "file").touch()
    assert found.may_write(Path("/var/lib/volplug"))
    assert not found.may_write(Path("/file/volplug"))


def test_this_machine() -> None:
    """The real machine can be asked as well as one of paper."""
    assert Machine().mount_of(Path("/")) is not None
    assert isinstance(Machine().clock_is_set(), bool)
    assert Machine().has_program("sh")
