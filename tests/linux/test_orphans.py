"""A mount program outlives its volplug, and mounts nothing once the next one has begun."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.linux import orphan_rig
from tests.linux.conftest import Machine
from tests.linux.fuse_share import FuseShare
from tests.linux.guarded import alive
from tests.linux.orphan_rig import NAME, programs
from volplug.deadline import deadline, wait_until
from volplug.errors import HostError
from volplug.linux import LinuxHost, mounting, processes
from volplug.source import Share
from volplug.testing import Known

pytestmark = pytest.mark.root

_PATIENCE_S = 30.0
_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def base(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lend a machine with the mount program; none of its processes is left afterwards."""
    monkeypatch.setattr(mounting, "HELPER_DIRECTORIES", ())  # the rig sets it
    orphan_rig.prepare(machine.base)
    yield machine.base
    for process in programs(machine.base):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _killed_while_mounting(base: Path) -> int:
    """Begin a stage, kill volplug once the mount program is at work; return the program."""
    before = len(programs(base))
    volplug = subprocess.Popen(
        [sys.executable, "-m", "tests.linux.orphan_rig", base], cwd=_ROOT, start_new_session=True
    )
    _wait(lambda: len(programs(base)) > before, "the mount program")
    volplug.kill()
    volplug.wait(_PATIENCE_S)
    program = programs(base)[-1]
    assert alive(program), "it has to outlive volplug, or nothing is tried here"
    return program


def _wait(condition: object, awaited: str) -> None:
    assert callable(condition)
    with deadline(_PATIENCE_S):
        wait_until(condition, awaited, poll_s=0.01)


def _finish(base: Path, host: LinuxHost) -> None:
    """Let mount programs mount from now on, stage, and take the volume down again."""
    (base / "leave").touch()
    orphan_rig.stage(host, base)
    assert host.path(NAME) is not None
    host.unstage(NAME)


def test_no_mount_comes_after_the_lease_may_go(machine: Machine, base: Path) -> None:
    """Once the next volplug has taken the volume down, nobody is left to mount it."""
    program = _killed_while_mounting(base)
    host = machine.host()
    host.unstage(NAME)
    assert not alive(program)
    (base / "leave").touch()
    assert machine.mounted() == []
    assert not (base / "mounted").exists()
    assert host.staged() == set()


def test_no_mount_comes_beside_the_next_stage(machine: Machine, base: Path) -> None:
    """What is staged again was mounted once, by the program that was begun for it."""
    program = _killed_while_mounting(base)
    host = machine.host()
    (base / "leave").touch()
    orphan_rig.stage(host, base)
    assert not alive(program)
    assert machine.mounted().count(machine.mount_dir / NAME) == 1
    mounted = (base / "mounted").read_text().split()
    assert mounted == [str(programs(base)[-1])]
    host.unstage(NAME)


def test_every_life_leaves_one(machine: Machine, base: Path) -> None:
    """Killed again and again, volplug ends in each life what the one before has left."""
    left = [_killed_while_mounting(base) for _ in range(3)]
    assert [alive(program) for program in left] == [False, False, True]
    host = machine.host()
    assert not alive(left[-1])
    _finish(base, host)


def test_what_cannot_be_killed_keeps_its_own_volume(machine: Machine, base: Path) -> None:
    """In uninterruptible sleep it may yet mount: the volume is refused, and no other one."""
    (base / "server").mkdir()
    server = FuseShare(base / "server")
    try:
        assert server.target.is_dir()  # what mount(8) has asked is answered then, too
        server.answering.clear()
        program = _killed_while_mounting(base)
        _wait(server.stuck.is_set, "a question to the server")
        host = machine.host()
        assert alive(program)
        for touch in (host.unstage, lambda _: orphan_rig.stage(host, base)):
            with pytest.raises(HostError, match=r"'v' is still worked on by (ls|sh) \(process"):
                touch(NAME)
        assert host.path(NAME) is None
        assert host.staged() == {NAME}
        (base / "tree").mkdir()
        Known().stage(host, "other", Share("bind", str(base / "tree")))
        assert host.path("other") is not None
        host.unstage("other")
        server.answering.set()
        _wait(lambda: not alive(program), "the program's end")
        host.unstage(NAME)
        assert not (base / "mounted").exists()
        _finish(base, host)
    finally:
        server.answering.set()
        subprocess.run(["umount", "-c", base / "server"], check=False)
        server.end()


def test_what_a_failed_stage_leaves_is_ended(machine: Machine, base: Path) -> None:
    """A daemon that has left the group of its program mounts nothing after the way down."""
    (base / "fail").touch()
    host = machine.host()
    with pytest.raises(HostError, match=r"mount\.late failed"):
        orphan_rig.stage(host, base)
    _wait(lambda: programs(base), "the daemon")
    host.unstage(NAME)
    assert not alive(programs(base)[-1])
    assert host.staged() == set()
    (base / "fail").unlink()
    _finish(base, host)


def test_daemons_of_finished_stages_live(machine: Machine, base: Path) -> None:
    """Containers may use what a daemon serves through all lives, and past a vanished mount."""
    for word in ("leave", "serve"):
        (base / word).touch()
    orphan_rig.stage(machine.host(), base)
    daemon = programs(base)[-1]
    assert machine.host().path(NAME) is not None
    assert alive(daemon)
    machine.vanish(NAME)
    (base / "leave").unlink()
    program = _killed_while_mounting(base)
    machine.host().unstage(NAME)
    assert [alive(daemon), alive(program)] == [True, False]


def test_a_program_is_found_while_it_is_loaded(tmp_path: Path) -> None:
    """Whoever becomes another program, again and again, is listed at each look."""
    script = tmp_path / "again"
    script.write_text('exec sh "$0" $(($1 + 1))')
    process = subprocess.Popen(["sh", script, "0"], env={"WORK": "v@1"})

    def has_become_a_thousand() -> bool:
        assert b"WORK=v@1" in processes.environment(process.pid)
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        return len(words) > 2 and words[2].isdigit() and int(words[2]) > 1000

    try:
        with deadline(_PATIENCE_S):
            wait_until(has_become_a_thousand, "a thousand programs", poll_s=0)
    finally:
        process.kill()
        process.wait(_PATIENCE_S)
