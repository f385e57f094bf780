"""Real iSCSI: a kernel's initiator and a kernel's target, on machines of their own."""

import re
from pathlib import Path

import pytest

import volplug.linux
from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.storage import IQN, Storage
from volplug import source as sources
from volplug.source import Device, IscsiLun

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1800)]

_MIB = 1024 * 1024
_SERIAL = "0123456789abcdef"
_OF_FORMATS = ("stage.format.", "stage.ready")  # passed once in a volume's life: tests/linux


def _points() -> list[str]:
    """Read the steps of a disk's way up and down out of the source."""
    files = sorted(Path(volplug.linux.__file__).parent.rglob("*.py"))
    found = [re.findall(r'crashpoint\("((?:un)?stage[^"]+)"\)', file.read_text()) for file in files]
    points = sorted({point for points in found for point in points})
    return [point for point in points if not point.startswith(_OF_FORMATS)]


def _device(storage: Storage, lun: int, serial: str, *more: str, size: int = 64 * _MIB) -> Device:
    portals = tuple(f"{address}:3260" for address in (storage.address, *more))
    return Device(IscsiLun(portals, IQN, lun, serial), "ext4", size_bytes=size)


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Storage:
    """A target whose disks nobody may see yet."""
    return lab.storage()


@pytest.fixture(scope="module")
def node(lab: Lab, storage: Storage) -> Node:
    """A node that may see one disk."""
    node = lab.node()
    storage.start_iscsi()
    storage.make_lun(3, _SERIAL, 64 * _MIB)
    node.start_iscsi_client()
    storage.allow(3, node.initiator)
    return node


def test_a_lun_is_a_volume_and_leaves_nothing(node: Node, storage: Storage) -> None:
    """Staged, it has a file system and keeps it; unstaged, no session, disk or record is left."""
    lun = _device(storage, 3, _SERIAL)
    path = node.stage("v", lun).ok()
    node.shell('echo precious >"$0/text"; sync "$0/text"', path)
    assert node.stage("v", lun).ok() == path
    records = node.shell("grep -rh . /var/lib/iscsi/nodes")
    assert "node.startup = manual" in records
    assert "node.session.scan = manual" in records
    node.unstage("v").ok()
    assert node.left_of_iscsi() == []


def test_a_number_that_was_given_away_shows_the_new_lun(node: Node, storage: Storage) -> None:
    """A disk that the kernel kept under a number is not taken for the LUN that has it now."""
    login = f"iscsiadm -m node -T {IQN} -p {storage.address}:3260"
    node.shell(f"{login} -o new; {login} -o update -n node.session.scan -v auto; {login} --login")
    node.wait_for(f"grep -q {_SERIAL} /sys/block/sd*/device/vpd_pg80", "the old LUN's disk")
    storage.deny(3, node.initiator)
    storage.make_lun(4, "newcomer", 64 * _MIB)
    storage.allow(4, node.initiator, seen_as=3)
    refused = node.stage("old", _device(storage, 3, _SERIAL)).refused()
    assert f"LUN 3 of {IQN}" in refused
    assert f"'newcomer' and not '{_SERIAL}'" in refused
    path = node.stage("new", _device(storage, 3, "newcomer")).ok()
    assert "newcomer" in node.shell("cat /sys/block/sd*/device/vpd_pg80")
    node.shell('touch "$0/mine"', path)
    for name in ("old", "new"):
        node.unstage(name).ok()
    assert node.left_of_iscsi() == []
    storage.deny(3, node.initiator)


def test_a_session_lives_as_long_as_a_lun_uses_it(node: Node, storage: Storage) -> None:
    """Two volumes of one target share it; a LUN that is gone at the target is let go of as well."""
    for number, serial in ((5, "fifth"), (6, "sixth")):
        storage.make_lun(number, serial, 64 * _MIB)
        storage.allow(number, node.initiator)
        node.stage(serial, _device(storage, number, serial)).ok()
    assert node.shell("ls /sys/class/iscsi_session | wc -l") == "1"
    node.unstage("fifth").ok()
    assert node.shell("ls /sys/class/iscsi_session | wc -l; ls -d /sys/block/sd* | wc -l") == "1\n1"
    storage.deny(6, node.initiator)
    node.unstage("sixth").ok()
    assert node.left_of_iscsi() == []


def test_several_ways_are_joined_or_refused(node: Node, storage: Storage) -> None:
    """Without multipathd a LUN with two portals is not mounted; with it the joined disk is."""
    other = storage.second_address()
    storage.make_lun(8, "eighth", 64 * _MIB)
    storage.allow(8, node.initiator)
    lun = _device(storage, 8, "eighth", other)
    assert "has several portals, and multipathd" in node.stage("v", lun).refused()
    assert node.left_of_iscsi() == []
    node.start_multipathd()
    path = node.stage("v", lun).ok()
    assert node.shell("ls -d /sys/block/sd* | wc -l") == "2"
    assert node.shell('grep " $0 " /proc/mounts | cut -d" " -f1', path) == "/dev/dm-0"
    node.shell('echo precious >"$0/text"; sync "$0/text"', path)
    node.unstage("v").ok()
    assert node.left_of_iscsi() == []
    assert node.shell("ls /sys/block | grep -c dm- || true") == "0"


def test_death_at_every_step_leaks_nothing(node: Node, storage: Storage) -> None:
    """SIGKILL at any step up or down: what comes after ends where it would have ended."""
    storage.make_lun(9, "ninth", 64 * _MIB)
    storage.allow(9, node.initiator)
    points = _points()
    lun = sources.to_json(_device(storage, 9, "ninth"))
    told = node.run("python3", "/seed/crashes.py", lun, *points, seconds=800).ok()
    twice = [point for point in points if point.startswith("stage.iscsi.")]
    assert told == f"deaths: {len(points) + len(twice)}"
    assert len(twice) >= 3
    assert node.left_of_iscsi() == []


def test_a_target_that_asks_for_a_secret_is_told_it(node: Node, storage: Storage) -> None:
    """From iscsid.conf, where the operator keeps it; without it the refusal says where to look."""
    storage.make_lun(7, "seventh", 64 * _MIB)
    storage.allow(7, node.initiator)
    storage.ask_for(node.initiator, "volplug", "opensesame12")
    lun = _device(storage, 7, "seventh")
    refused = node.stage("v", lun).refused()
    assert "refuses this node" in refused
    assert "/etc/iscsi/iscsid.conf" in refused
    key = "node.session.auth"
    settings = {"authmethod": "CHAP", "username": "volplug", "password": "opensesame12"}
    lines = [f"{key}.{name} = {value}" for name, value in settings.items()]
    node.write("/etc/iscsi/iscsid.conf", "\n".join([*lines, ""]))
    node.stage("v", lun).ok()
    node.unstage("v").ok()
    assert node.left_of_iscsi() == []
