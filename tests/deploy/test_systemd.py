"""Tests of the systemd units, by systemd's own checker; systemd need not run for that."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine import need_program

UNITS = Path(__file__).parents[2] / "deploy/systemd"

# Each gives a service a mount namespace of its own (systemd.exec(5)).
HIDES_MOUNTS = (
    "BindPaths",
    "BindReadOnlyPaths",
    "DynamicUser",
    "ExecPaths",
    "InaccessiblePaths",
    "MountAPIVFS",
    "MountFlags",
    "NoExecPaths",
    "PrivateDevices",
    "PrivateMounts",
    "PrivateTmp",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RootDirectory",
    "RootImage",
    "TemporaryFileSystem",
)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return a copy of the units that names the volplug of this checkout, which exists."""
    for unit in UNITS.iterdir():
        shutil.copy(unit, tmp_path)
    ours = str(Path(sys.executable).with_name("volplug"))
    for service in tmp_path.glob("*.service"):
        service.write_text(service.read_text().replace("/usr/local/bin/volplug", ours))
    return tmp_path


def verify(units: Path) -> str:
    """Return what systemd-analyze has to say about the units: nothing, when they are right."""
    program = need_program("systemd-analyze", "systemd")
    argv = [str(program), "--man=no", "verify", *map(str, units.iterdir())]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_systemd_understands_every_line(units: Path) -> None:
    """The checker finds no unknown setting, no missing program and no ordering cycle."""
    assert verify(units) == ""


def test_the_checker_would_tell(units: Path) -> None:
    """A misspelt setting is found: the test above is able to fail."""
    with (units / "volplug.service").open("a") as service:
        service.write("[Service]\nKillMood=process\n")
    assert "KillMood" in verify(units)


@pytest.mark.parametrize("unit", ["volplug.service", "volplug-guard.service"])
def test_volumes_are_mounted_where_the_engine_looks(unit: str) -> None:
    """No setting of a service hides its mounts from the host, or the host's from it."""
    settings = {
        line.partition("=")[0]
        for line in (UNITS / unit).read_text().splitlines()
        if "=" in line and not line.startswith("#")
    }
    assert "ExecStart" in settings
    assert not settings & set(HIDES_MOUNTS)


def test_the_socket_is_there_before_the_engine() -> None:
    """Both units are started before Docker, which waits 15 s per volume for a missing plugin."""
    for unit in ("volplug.socket", "volplug.service"):
        assert "Before=docker.service" in (UNITS / unit).read_text().splitlines()


def test_the_guard_is_there_before_volplug_and_after_it() -> None:
    """What is ordered so is stopped in the other order; and it is not bound to volplug's life."""
    lines = (UNITS / "volplug-guard.service").read_text().splitlines()
    assert "Before=volplug.service" in lines
    assert not [line for line in lines if line.startswith(("PartOf=", "BindsTo=", "Requires="))]
