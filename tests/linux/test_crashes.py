"""A process killed between any two effects leaves nothing that the next one cannot finish.

The crash points are read from the source, so that none is forgotten, and each must be reached.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import volplug.linux
from tests.linux import life
from tests.linux.conftest import Machine
from volplug.crashpoint import VARIABLE
from volplug.host import Filesystem, Formatted

pytestmark = pytest.mark.root

_SOURCES = Path(volplug.linux.__file__).parent.glob("*.py")
_POINTS = sorted(
    {
        point
        for file in _SOURCES
        for point in re.findall(r'crashpoint\("([^"]+)"\)', file.read_text())
    }
)
_UP = [point for point in _POINTS if point.startswith("stage.")]
_DOWN = [point for point in _POINTS if point.startswith("unstage.")]
_OF_CLONES = ["stage.format.renewed"]
_OF_DISKS = ["stage.attached", "stage.format.made", "stage.format.remembered", "unstage.detached"]

_SIZES = {"ext4": 24 << 20, "xfs": 320 << 20, "btrfs": 128 << 20}


def _run(machine: Machine, verb: str, dies_at: str = "") -> None:
    """Let another process do it, and die there."""
    died = subprocess.run(
        [sys.executable, "-m", "tests.linux.life", verb, machine.base],
        env=os.environ | {VARIABLE: dies_at},
        check=False,
    )
    assert died.returncode == (-9 if dies_at else 0), f"{dies_at} was not reached"


def _disk(machine: Machine, fstype: str) -> None:
    with (machine.base / f"{fstype}.img").open("wb") as file:
        file.truncate(_SIZES[fstype])


def _goes_on(machine: Machine) -> None:
    """Stage with a fresh host; everything is as if nothing had happened."""
    host = machine.host()
    life.stage(host, machine.base)
    path = host.path(life.NAME)
    assert path is not None
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1000, 1001, 0o2750)
    assert list(path.iterdir()) == []
    assert life.recall(machine.base).formatted is Formatted.READY
    assert host.staged() == {life.NAME}
    assert len(machine.attached()) <= 1


def _goes_down(machine: Machine) -> None:
    """Unstage with a fresh host; nothing is left."""
    machine.host().unstage(life.NAME)
    assert machine.mounted() == []
    assert machine.attached() == []
    assert [path.name for path in machine.mount_dir.glob("*") if path.name != ".devices"] == []
    assert machine.host().staged() == set()


@pytest.mark.parametrize("dies_at", [point for point in _UP if point not in _OF_CLONES])
@pytest.mark.parametrize("after", [_goes_on, _goes_down])
def test_stage_of_a_disk_killed_anywhere(machine: Machine, dies_at: str, after: object) -> None:
    """Whatever step it died at, a fresh host stages the disk, or takes it down."""
    _disk(machine, "ext4")
    _run(machine, "stage", dies_at)
    assert callable(after)
    after(machine)


@pytest.mark.parametrize("fstype", ["xfs", "btrfs"])
@pytest.mark.parametrize("dies_at", ["stage.format.remembered", "stage.format.made"])
def test_formatting_killed_half_way(machine: Machine, fstype: str, dies_at: str) -> None:
    """The other file systems are formatted once too, and under the UUID on record."""
    _disk(machine, fstype)
    _run(machine, "stage", dies_at)
    planned = life.recall(machine.base)
    assert planned.formatted is Formatted.STARTED
    _goes_on(machine)
    assert life.recall(machine.base).uuid == planned.uuid


@pytest.mark.parametrize("fstype", _SIZES)
def test_renewal_of_a_clone_killed(machine: Machine, fstype: str) -> None:
    """A clone that has got its new UUID, which is not on record yet, goes on under that one."""
    _disk(machine, fstype)
    _run(machine, "stage")
    _run(machine, "unstage")
    origin = life.recall(machine.base)
    life.remember(machine.base, Filesystem(Formatted.CLONED, fstype, origin.uuid))
    _run(machine, "stage", "stage.format.renewed")
    assert life.recall(machine.base).formatted is Formatted.CLONED
    _goes_on(machine)
    assert life.recall(machine.base).uuid not in ("", origin.uuid)


@pytest.mark.parametrize("dies_at", [p for p in _UP if p not in (*_OF_CLONES, *_OF_DISKS)])
@pytest.mark.parametrize("after", [_goes_on, _goes_down])
def test_stage_of_a_tree_killed_anywhere(machine: Machine, dies_at: str, after: object) -> None:
    """Whatever step it died at, a fresh host stages the tree, or takes it down."""
    (machine.base / "tree").mkdir()
    _run(machine, "stage", dies_at)
    assert callable(after)
    after(machine)


@pytest.mark.parametrize("dies_at", _DOWN)
@pytest.mark.parametrize("after", [_goes_on, _goes_down])
def test_unstage_of_a_disk_killed_anywhere(machine: Machine, dies_at: str, after: object) -> None:
    """Whatever step it died at, a fresh host stages the disk again, or takes it down."""
    _disk(machine, "ext4")
    _run(machine, "stage")
    _run(machine, "unstage", dies_at)
    assert callable(after)
    after(machine)


@pytest.mark.parametrize("dies_at", [point for point in _DOWN if point not in _OF_DISKS])
@pytest.mark.parametrize("after", [_goes_on, _goes_down])
def test_unstage_of_a_tree_killed_anywhere(machine: Machine, dies_at: str, after: object) -> None:
    """Whatever step it died at, a fresh host stages the tree again, or takes it down."""
    (machine.base / "tree").mkdir()
    _run(machine, "stage")
    _run(machine, "unstage", dies_at)
    assert callable(after)
    after(machine)


def test_loop_device_does_not_outlive_a_killed_process(machine: Machine) -> None:
    """The kernel frees a device that was attached and not mounted yet, without our help."""
    _disk(machine, "ext4")
    _run(machine, "stage", "stage.attached")
    assert machine.attached() == []
