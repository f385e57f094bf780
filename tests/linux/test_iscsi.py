"""LUNs by their serial, in a drawn /sys; real targets are in tests/lab."""

from pathlib import Path

import pytest

from volplug.errors import HostError, Unavailable, Unsupported
from volplug.linux import iscsi
from volplug.linux.iscsi import initiator, multipath
from volplug.linux.iscsi.sessions import ScsiDisk, sessions
from volplug.source import IscsiLun

IQN = "iqn.2024-01.com.example:storage"
ONE, TWO = "10.0.0.1:3260", "[fd00::2]:3260"


def _attribute(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _session(sysfs: Path, number: int, address: str, *, iqn: str = IQN) -> Path:
    """Draw a session as the kernel shows one, and return its directory."""
    directory = sysfs / f"devices/platform/host{number}/session{number}"
    connection = directory / f"connection{number}:0/iscsi_connection/connection{number}:0"
    _attribute(connection / "persistent_address", f"{address}\n")
    _attribute(connection / "persistent_port", "3260\n")
    shown = sysfs / f"class/iscsi_session/session{number}"
    _attribute(shown / "targetname", f"{iqn}\n")
    _attribute(shown / "state", "LOGGED_IN\n")
    (shown / "device").symlink_to(directory)
    return directory


def _disk(sysfs: Path, session: Path, lun: int, name: str, serial: str) -> ScsiDisk:
    """Draw a disk in a session."""
    host = session.name.removeprefix("session")
    disk = session / f"target{host}:0:0/{host}:0:0:{lun}"
    (disk / "block" / name).mkdir(parents=True)
    _attribute(disk / "state", "running\n")
    (disk / "vpd_pg80").write_bytes(bytes((0, 0x80, 0, len(serial) + 1)) + serial.encode() + b"\0")
    (sysfs / "block" / name / "holders").mkdir(parents=True)
    return ScsiDisk(disk)


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Return a /sys with two ways to one target, one to another, and a disk behind each."""
    first, second = _session(tmp_path, 3, "10.0.0.1"), _session(tmp_path, 4, "fd00::2")
    other = _session(tmp_path, 5, "10.0.0.1", iqn=f"{IQN}.other")
    _disk(tmp_path, first, 7, "sda", "0123456789abcdef")
    _disk(tmp_path, second, 7, "sdb", "0123456789abcdef")
    _disk(tmp_path, other, 7, "sdc", "0123456789abcdef")
    return tmp_path


def test_sessions_are_those_of_a_target_and_its_portals(drawn: Path) -> None:
    """Other targets at the same address, and other portals of the same target, are not meant."""
    assert [one.directory.name for one in sessions(IQN, [ONE, TWO], drawn)] == [
        "session3",
        "session4",
    ]
    assert [one.directory.name for one in sessions(IQN, [TWO], drawn)] == ["session4"]
    assert sessions(IQN, ["10.0.0.1:3261"], drawn) == []


def test_disk_is_found_by_its_serial(drawn: Path) -> None:
    """Under whatever number the kernel saw it: the array may map it to another one next time."""
    assert iscsi.name_of(IscsiLun((ONE,), IQN, 7, "0123456789abcdef"), drawn) == "sda"
    assert iscsi.name_of(IscsiLun((ONE,), IQN, 2, "0123456789abcdef"), drawn) == "sda"
    assert iscsi.name_of(IscsiLun((ONE,), IQN, 7, "0123456789abcde"), drawn) is None
    assert iscsi.name_of(IscsiLun((ONE,), IQN, 7, ""), drawn) is None


def test_one_way_of_several_is_not_the_disk(drawn: Path) -> None:
    """A LUN with several portals is there when its ways are joined, all of them in one."""
    lun = IscsiLun((ONE, TWO), IQN, 7, "0123456789abcdef")
    assert iscsi.name_of(lun, drawn) is None
    _attribute(drawn / "block/sda/holders/dm-1/dm/uuid", "mpath-360\n")
    assert iscsi.name_of(lun, drawn) is None
    _attribute(drawn / "block/sdb/holders/dm-1/dm/uuid", "mpath-360\n")
    assert iscsi.name_of(lun, drawn) == "dm-1"


def test_a_disk_that_multipathd_took_is_used_through_it(drawn: Path) -> None:
    """Also where one way is all there is: the way itself is busy then."""
    _attribute(drawn / "block/sda/holders/dm-1/dm/uuid", "mpath-360\n")
    assert iscsi.name_of(IscsiLun((ONE,), IQN, 7, "0123456789abcdef"), drawn) == "dm-1"


def test_other_holders_are_no_multipath(drawn: Path) -> None:
    """A logical volume on a disk is not the disk."""
    _attribute(drawn / "block/sda/holders/dm-1/dm/uuid", "LVM-x\n")
    assert multipath.joined("sda", drawn) == ""


def test_a_number_with_several_spellings_is_refused() -> None:
    """Before anything is asked of the target."""
    with pytest.raises(Unsupported, match="LUN number 256 is too large"):
        iscsi.connect(IscsiLun((ONE,), IQN, 256, "s"))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in the place of iscsiadm and multipathd, which ends as the file `end` says."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("iscsiadm", "multipathd"):
        script = directory / name
        script.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n. {tmp_path}/end\n')
        script.chmod(0o755)
    monkeypatch.setattr("volplug.command._ENVIRONMENT", {"PATH": f"{directory}:/usr/bin:/bin"})
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    (tmp_path / "end").write_text("exit 0")
    return tmp_path


def test_login_makes_a_record_of_our_own(program: Path) -> None:
    """That logs in to nothing at a boot, scans nothing by itself, and does not try for minutes."""
    initiator.log_in(IQN, ONE, patience_s=120)
    new, update, login = (program / "asked").read_text().splitlines()
    assert new == f"-m node -T {IQN} -p {ONE} -o new"
    assert login == f"-m node -T {IQN} -p {ONE} --login"
    for setting in (
        "-n node.startup -v manual",
        "-n node.session.scan -v manual",
        "-n node.session.timeo.replacement_timeout -v 120",
        "-n node.conn[0].timeo.login_timeout -v 10",
    ):
        assert setting in update


@pytest.mark.parametrize(("code", "words"), [(20, "cannot reach iscsid"), (24, "CHAP secret")])
def test_refusals_say_what_to_do(program: Path, code: int, words: str) -> None:
    """A daemon that is not there is started by the operator, a secret is compared."""
    (program / "end").write_text(f"exit {code}")
    with pytest.raises(Exception, match=words):
        initiator.log_in(IQN, ONE, patience_s=5)


def test_a_target_that_does_not_answer_is_named(program: Path) -> None:
    """With its portal and open-iscsi's own words."""
    (program / "end").write_text("echo 'connect to 10.0.0.1 failed' >&2; exit 8")
    with pytest.raises(Unavailable, match=rf"{IQN} at {ONE} .*connect to 10.0.0.1 failed"):
        initiator.log_in(IQN, ONE, patience_s=5)


def test_ending_what_is_over_is_success(program: Path) -> None:
    """No session, no record."""
    (program / "end").write_text("exit 21")
    initiator.log_out(IQN, ONE)
    initiator.forget(IQN, ONE)


def test_several_portals_want_multipathd(program: Path) -> None:
    """One of several ways is never mounted by itself; the operator may name one portal."""
    (program / "end").write_text("echo 'failed to connect' >&2; exit 1")
    with pytest.raises(HostError, match=r"several portals.*multipathd.*name one portal alone"):
        iscsi.connect(IscsiLun((ONE, TWO), IQN, 7, "s"))
