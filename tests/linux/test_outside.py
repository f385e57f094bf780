"""What a mount program leaves behind lives outside our own cgroup, and survives its end."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.linux.conftest import Machine
from tests.rigs.service import Service, unified
from volplug.command import run
from volplug.linux import cgroup, mountinfo, pulse
from volplug.linux.pulse import Answer
from volplug.source import Share

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a directory with a mount program that leaves a daemon behind."""
    program = tmp_path / "sbin/mount.fake"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncd {_ROOT} && exec {sys.executable} -m tests.linux.fuse_share "$2"\n'
    )
    program.chmod(0o755)
    return program.parent


@pytest.fixture
def tidy() -> Iterator[None]:
    """Remove the cgroup that was made, once it is empty."""
    yield
    with suppress(OSError):
        (unified() / cgroup.NAME).rmdir()


@pytest.mark.root
@pytest.mark.usefixtures("tidy")
def test_the_mount_survives_our_cgroup(machine: Machine, programs: Path) -> None:
    """With everything killed that is in volplug's cgroup, the FUSE daemon goes on serving."""
    service = Service(machine.base)
    path = service.stage(Share("fuse.fake", "server:/share"), programs)
    try:
        assert len(service.processes()) == 1, "the daemon is in there with us"
    finally:
        service.end()
    assert pulse.ask(path) is Answer.FINE


def test_cgroups_that_cannot_be_written_are_no_obstacle(tmp_path: Path) -> None:
    """A program that cannot enter a cgroup runs where it is, and says nothing of it."""
    enter = ["sh", "-c", cgroup._ENTER, str(tmp_path / "none/cgroup.procs")]
    done = run(["printf", "%s|", "a b", "$c", ""], through=enter)
    assert (done.stdout, done.stderr) == ("a b|$c||", "")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that says, in the kernel's place, where we are."""
    monkeypatch.setattr(cgroup, "OWN", tmp_path / "own")
    monkeypatch.setattr(cgroup, "SYSTEMD", tmp_path / "no systemd")
    return tmp_path / "own"


def _mounted(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    mounts = mountinfo.parse("".join(f"{line}\n" for line in lines))
    monkeypatch.setattr(mountinfo, "read", lambda: mounts)


def test_only_tracking_hierarchies_are_left(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits stay; the top needs no leaving; a hierarchy seen from within cannot be left."""
    names = ("systemd", "memory", "unified", "inner", "openrc")
    for name in names:
        (tmp_path / name).mkdir()
    systemd, memory, unified, inner, openrc = (str(tmp_path / name) for name in names)
    _mounted(
        monkeypatch,
        f"1 0 0:1 /docker/x {inner} rw - cgroup2 cgroup2 rw",
        f"2 0 0:2 / {systemd} rw - cgroup cgroup rw,name=systemd",
        f"3 0 0:3 / {memory} rw - cgroup cgroup rw,memory",
        f"4 0 0:4 / {openrc} rw - cgroup cgroup rw,name=openrc",
        f"5 0 0:1 / {unified} rw - cgroup2 cgroup2 rw",
    )
    own.write_text("9:name=systemd:/s\n8:name=openrc:/\n4:memory:/m\n0::/system.slice/x:y\n")
    words = cgroup.outside()
    assert [word for word in words if word.startswith("/")] == [
        f"{systemd}/volplug-mounts/cgroup.procs",
        f"{unified}/volplug-mounts/cgroup.procs",
    ]
    assert run(["echo", "through"], through=words).stdout == "through\n"
    own.write_text("9:name=systemd:/\n4:memory:/m\n0::/\n")
    assert cgroup.outside() == []


def test_read_only_cgroups_are_left_alone(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container nothing can be made there, and the program is started as ever."""
    _mounted(monkeypatch, f"5 0 0:1 / {tmp_path}/none rw - cgroup2 cgroup2 rw")
    own.write_text("0::/system.slice/volplug.service\n")
    assert cgroup.outside() == []


def test_a_systemd_that_does_not_answer_is_asked_once(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where systemd-run does not work, as without a bus, cgroups are tried instead."""
    monkeypatch.setattr(cgroup, "SYSTEMD", tmp_path)
    monkeypatch.setattr(cgroup, "_SCOPE", ("sh", "-c", f"echo >>{tmp_path}/asked; exit 1"))
    cgroup._systemd_answers.cache_clear()
    own.write_text("0::/\n")
    assert [cgroup.outside(), cgroup.outside()] == [[], []]
    assert (tmp_path / "asked").read_text() == "\n"
    cgroup._systemd_answers.cache_clear()
    monkeypatch.setattr(cgroup, "_SCOPE", ("env",))
    assert cgroup.outside() == ["env"]
    cgroup._systemd_answers.cache_clear()
