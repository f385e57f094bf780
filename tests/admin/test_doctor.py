"""The doctor: each thing is needed only if a configured backend would use it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.admin.operator import PaperService, application, serving
from volplug import cli
from volplug.admin.doctor import Finding, examine
from volplug.admin.machine import Machine
from volplug.admin.views import findings
from volplug.config import Config

Make = Callable[..., Machine]
TREE = {"t": {"driver": "halltree"}}
DISK = {"d": {"driver": "halldisk", "password": "file:/nowhere"}}


@dataclass
class Engine:
    """The plugins of an engine: those that it finds as soon as it looks, and those it manages."""

    waiting: list[str] = field(default_factory=list)
    managed: dict[str, bool] = field(default_factory=dict)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Serve as a Docker engine."""
    app, known, engine = Flask("engine"), ["local"], Engine()

    @app.get("/info")
    def info() -> dict[str, dict[str, list[str]]]:
        return {"Plugins": {"Volume": known}}

    @app.get("/volumes")
    def volumes() -> dict[str, list[str]]:
        known.extend(engine.waiting)
        return {"Volumes": []}

    @app.get("/plugins")
    def plugins() -> list[dict[str, str | bool]]:
        return [{"Name": name, "Enabled": on} for name, on in engine.managed.items()]

    with serving(app, tmp_path / "docker.sock"):
        yield engine


def look(tmp_path: Path, machine: Machine, **keys: Any) -> dict[str, Finding]:
    """Examine a machine and return the findings by what was looked for."""
    config = Config(**{"socket": tmp_path / "v.sock", **keys})
    return {one.what: one for one in examine(config, machine, tmp_path / "docker.sock")}


@pytest.mark.usefixtures("hall")
def test_a_tree_needs_no_mkfs(tmp_path: Path, machine: Make) -> None:
    """A machine with nothing but trees is told of what they need, and of no file system tool."""
    found = look(tmp_path, machine("mount", "umount"), backends=TREE, default_backend="t")
    assert found["mount.hall"].state == "MISSING"
    assert found["mount"].state == "OK"
    assert not [what for what in found if what.startswith("mkfs")]
    assert found["loop devices"].state == "OPTIONAL"


@pytest.mark.usefixtures("hall")
def test_a_disk_needs_its_default_file_system(tmp_path: Path, machine: Make) -> None:
    """The default file system's tools are needed, those of the others are told as optional."""
    found = look(tmp_path, machine(), backends=DISK, default_backend="d")
    states = {what: found[what].state for what in ("mkfs.xfs", "mkfs.ext4", "mount", "blkid")}
    assert states == {
        "mkfs.xfs": "MISSING",
        "mkfs.ext4": "OPTIONAL",
        "mount": "MISSING",
        "blkid": "MISSING",
    }
    assert found["mkfs.xfs"].fix == "apt-get install xfsprogs"
    assert found["CAP_SYS_ADMIN"].state == "MISSING"


@pytest.mark.usefixtures("hall")
def test_disks_over_iscsi_need_its_daemon_and_a_name(tmp_path: Path, machine: Make) -> None:
    """Multipathd is optional, for one portal does without; trees need none of the three."""
    lun = {"l": {"driver": "halllun"}}
    wanted = ("iscsiadm", "iSCSI initiator name", "iscsid", "multipathd")
    bare = machine()
    found = look(tmp_path, bare, backends=lun, default_backend="l")
    states = [found[what].state for what in wanted]
    assert states == ["MISSING", "MISSING", "MISSING", "OPTIONAL"]
    assert found["multipathd"].fix.startswith("apt-get install multipath-tools")
    name = bare.root / "etc/iscsi/initiatorname.iscsi"
    name.parent.mkdir(parents=True)
    name.write_text("# a comment\nInitiatorName = iqn.1993-08.org.debian:01:ab\n")
    sockets = bare.root / "proc/net/unix"
    sockets.parent.mkdir(parents=True)
    line = "0000000000000000: 00000002 00000000 00010000 0001 01 12345 @"
    names = ("ISCSIADM_ABSTRACT_NAMESPACE", "/org/kernel/linux/storage/multipathd")
    lines = [f"{line}{socket}\n" for socket in names]
    sockets.write_text("".join(["Num RefCount Protocol Flags Type St Inode Path\n", *lines]))
    found = look(tmp_path, machine("iscsiadm"), backends=lun, default_backend="l")
    assert [found[what].state for what in wanted] == ["OK"] * 4
    found = look(tmp_path, machine(), backends=TREE, default_backend="t")
    assert not found.keys() & set(wanted)


@pytest.mark.usefixtures("hall")
def test_backends_are_read_as_serve_reads_them(tmp_path: Path, machine: Make) -> None:
    """A driver that is not there and a key that is wrong are found before anything is served."""
    backends = {
        "good": DISK["d"],
        "gone": {"driver": "hallgone"},
        "typo": {"driver": "halldisk", "pasword": "file:/nowhere"},
    }
    found = look(tmp_path, machine(), backends=backends, default_backend="good")
    assert found["backend good"].state == "OK"
    assert found["backend gone"].state == "MISSING"
    assert "hall" in found["backend gone"].fix
    assert "did you mean 'password'?" in found["backend typo"].fix


@pytest.mark.usefixtures("hall")
@pytest.mark.parametrize(
    ("state_dir", "state"),
    [("/var/lib/volplug", "OK"), ("/srv/a b/state", "MISSING"), ("/run/state", "MISSING")],
)
def test_where_the_state_lies(state_dir: str, state: str, tmp_path: Path, machine: Make) -> None:
    """A network file system or memory is refused for the state."""
    found = look(tmp_path, machine(), backends=TREE, default_backend="t", state_dir=Path(state_dir))
    [one] = [one for what, one in found.items() if what.startswith("file system of state_dir")]
    assert one.state == state


@pytest.mark.usefixtures("hall")
def test_propagation(tmp_path: Path, machine: Make) -> None:
    """Mounts made below a private mount are told not to reach containers."""
    shared = look(tmp_path, machine(), backends=TREE, default_backend="t")
    private = look(
        tmp_path, machine(), backends=TREE, default_backend="t", mount_dir=Path("/run/m")
    )
    assert shared["shared mount propagation"].state == "OK"
    assert private["shared mount propagation"].state == "OPTIONAL"


@pytest.mark.usefixtures("hall")
def test_the_engine(tmp_path: Path, machine: Make, engine: Engine) -> None:
    """The engine is asked whether it knows volplug, found by it or managed and enabled."""

    def state() -> str:
        found = look(tmp_path, machine(), backends=TREE, default_backend="t")
        return found["volplug known to Docker"].state

    engine.managed["volplug:latest"] = False
    assert state() == "OPTIONAL"
    engine.managed["volplug:latest"] = True
    assert state() == "OK"
    engine.managed.clear()
    engine.waiting.append("volplug")
    assert state() == "OK"


@pytest.mark.usefixtures("hall")
def test_without_an_engine(tmp_path: Path, machine: Make) -> None:
    """A machine without Docker is not ill."""
    found = look(tmp_path, machine(), backends=TREE, default_backend="t")
    assert found["Docker engine"].state == "OPTIONAL"


@pytest.mark.usefixtures("hall")
def test_a_running_volplug(tmp_path: Path, machine: Make) -> None:
    """The doctor says whether volplug itself answers."""
    what = f"volplug at {tmp_path / 'v.sock'}"
    assert look(tmp_path, machine(), backends=TREE, default_backend="t")[what].state == "OPTIONAL"
    with serving(application(PaperService()), tmp_path / "v.sock"):
        assert look(tmp_path, machine(), backends=TREE, default_backend="t")[what].state == "OK"


def test_how_it_looks() -> None:
    """Each finding is a line; what mends a missing thing stands below it."""
    assert findings(
        [
            one.plain
            for one in (
                Finding("mount", ok=True, purpose="mounting volumes", fix="apt-get install mount"),
                Finding("blkid", ok=False, purpose="looking", fix="apt-get install util-linux"),
            )
        ]
    ) == (
        "OK        mount: mounting volumes\n"
        "MISSING   blkid: looking\n"
        "          → apt-get install util-linux"
    )


@pytest.mark.usefixtures("hall")
def test_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`volplug doctor` ends with 1 while something needed is missing."""
    path = tmp_path / "volplug.toml"
    path.write_text(
        f'socket = "{tmp_path}/v.sock"\nstate_dir = "{tmp_path}"\n'
        '[backends.t]\ndriver = "halltree"\n'
    )
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert cli.main(["doctor", "--config", str(path)]) == 1
    states = {one["what"]: one["state"] for one in json.loads(capsys.readouterr().out)}
    assert states["mount.hall"] == "MISSING"
