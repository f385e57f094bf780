"""Writers of a disk that the guard freezes and stops, on the real kernel: ext4 and xfs.

Nobody renews here: to the guard it is the same whether its agent is dead, stopped, or cut off.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.linux.conftest import Machine
from tests.linux.guarded import (
    FREEZE_S,
    HEALED_S,
    ROOT,
    STOP_S,
    Guarded,
    Writer,
    alive,
    boottime_s,
    content,
    missing,
    stage,
    staged_again,
)
from tests.machine import need_program
from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded
from volplug.guard import State
from volplug.linux import LinuxHost
from volplug.linux.guard import Post

pytestmark = pytest.mark.root

_LATE_S = 0.5
"""How long after its deadline a writer's last write may come: the promise (leases.md 3.7)."""

_REPLACED_S = 4.0
"""The stop of a volume whose guard has to be started anew meanwhile."""


@pytest.fixture
def guarded(machine: Machine) -> Iterator[Guarded]:
    """A guard at the machine's post, with nothing armed yet."""
    machine.mount_dir.mkdir()
    guarded = Guarded(Post(machine.base / "state", machine.mount_dir.resolve(), "this boot"))
    guarded.begin()
    yield guarded
    guarded.end()


def _writer(guarded: Guarded, directory: Path) -> Writer:
    writer = Writer(directory, guarded.post.state_dir.parent / f"{directory.name}.words")
    guarded.writers.append(writer)
    return writer


def _frozen(machine: Machine, host: LinuxHost, guarded: Guarded) -> tuple[Path, Writer]:
    """Return a volume's directory and its writer, frozen long before the stop."""
    data = stage(host, machine.base, "data", "ext4")
    writer = _writer(guarded, data)
    guarded.arm("data", stop_s=HEALED_S)
    guarded.wait("data", State.FROZEN)
    return data, writer


def _fsck(image: Path, fstype: str) -> None:
    """Check the file system as the next holder finds it once its journal was replayed."""
    check = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n"]}[fstype]
    subprocess.run([*check, image], check=True, capture_output=True)


@pytest.mark.parametrize("fstype", ["ext4", "xfs"])
def test_a_silent_nodes_writers_are_stopped(
    machine: Machine, host: LinuxHost, guarded: Guarded, fstype: str
) -> None:
    """In time, with every acknowledged write on the disk, and nothing else touched (I5, I6, I16).

    Afterwards the image never changes again; the next holder finds a clean file system.
    """
    need_program(f"mkfs.{fstype}", {"ext4": "e2fsprogs", "xfs": "xfsprogs"}[fstype])
    data, other = (stage(host, machine.base, name, fstype) for name in ("data", "other"))
    writer, neighbour = _writer(guarded, data), _writer(guarded, other)
    base_s = guarded.arm("data")
    guarded.wait("data", State.STOPPED, done=True)
    with deadline(20.0):
        wait_until(writer.failed, "the writer's error")
    assert writer.acknowledged()[-1][1] <= base_s + STOP_S + _LATE_S
    guarded.ask(do="renew", base_s=boottime_s())
    image = machine.base / "data.img"
    before, reached = content(image), len(neighbour.acknowledged())
    os.sync()
    (machine.base / "proof").write_text("the machine's own file system takes writes")
    with deadline(20.0):
        wait_until(lambda: len(neighbour.acknowledged()) > reached + 200, "the neighbour's writes")
    assert content(image) == before
    assert not neighbour.failed()
    assert guarded.states() == {"data": (State.STOPPED, True)}
    writer.end()
    neighbour.end()
    guarded.ask(do="disarm", volume="data", token=None)
    host.unstage("data")
    again = staged_again(host, machine.base, fstype)
    assert missing(again, writer) == []
    for name in ("data", "other"):
        host.unstage(name)
        _fsck(machine.base / f"{name}.img", fstype)


def test_a_renewal_in_time_thaws_without_a_trace(
    machine: Machine, host: LinuxHost, guarded: Guarded
) -> None:
    """Frozen, no write is acknowledged; healed before the stop, all go on and none is lost."""
    data, writer = _frozen(machine, host, guarded)
    _standstill(writer)
    guarded.has_writing(writer)
    assert not writer.failed()
    guarded.ask(do="disarm", volume="data", token=None)
    writer.end()
    assert missing(data, writer) == []


def _standstill(writer: Writer) -> int:
    """Return how many writes were acknowledged once no more are."""
    counts = [-2, -1]

    def is_still() -> bool:
        counts.append(len(writer.acknowledged()))
        return counts[-1] == counts[-2] == counts[-3]

    with deadline(20.0):
        wait_until(is_still, "a standstill", poll_s=0.05)
    return counts[-1]


def test_a_guard_that_is_killed_is_replaced(
    machine: Machine, host: LinuxHost, guarded: Guarded
) -> None:
    """The next one goes on from the table: what is frozen is stopped in time."""
    writer = _writer(guarded, stage(host, machine.base, "data", "ext4"))
    base_s = guarded.arm("data", stop_s=_REPLACED_S)
    guarded.wait("data", State.FROZEN)
    process = guarded.process()
    os.kill(process, signal.SIGKILL)
    with deadline(20.0):
        wait_until(lambda: not alive(process), "its end", poll_s=0.01)
    guarded.begin()
    guarded.wait("data", State.STOPPED, done=True)
    with deadline(20.0):
        wait_until(writer.failed, "the writer's error")
    assert writer.acknowledged()[-1][1] <= base_s + _REPLACED_S + _LATE_S


def test_a_new_guard_thaws_what_the_old_one_froze(
    machine: Machine, host: LinuxHost, guarded: Guarded
) -> None:
    """A renewal that reaches the next guard in time undoes its predecessor's freeze."""
    _, writer = _frozen(machine, host, guarded)
    os.kill(guarded.process(), signal.SIGKILL)
    guarded.begin()
    guarded.ask(do="renew", base_s=boottime_s())
    assert guarded.states() == {"data": (State.ACTIVE, False)}
    guarded.has_writing(writer)


_LATE_FREEZE = """
import fcntl, os, pathlib, sys
from volplug.linux.guard import freezing
with freezing.begun(pathlib.Path(sys.argv[1]), "data"):
    print("begun", flush=True)
    sys.stdin.readline()
    try:
        fcntl.ioctl(os.open(sys.argv[2], os.O_RDONLY), 0xC0045877, 0)
    except OSError as error:
        print(error, flush=True)
"""
"""What a guard left behind that was killed before the kernel was done with its freeze."""


def test_a_thaw_waits_for_the_freeze_of_a_dead_guard(
    machine: Machine, host: LinuxHost, guarded: Guarded
) -> None:
    """A freeze that comes to its end after the next guard was told to thaw is thawed as well."""
    data, writer = _frozen(machine, host, guarded)
    os.kill(guarded.process(), signal.SIGKILL)
    guarded.begin()
    argv = [sys.executable, "-c", _LATE_FREEZE, str(guarded.post.directory), str(data)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as late:
        assert late.stdout is not None
        assert late.stdout.readline() == "begun\n"
        # Where nobody waits for that freeze, writes go on now, and not afterwards.
        with suppress(DeadlineExceeded):
            guarded.has_writing(writer, 1.0)
        late.communicate("freeze\n")
    guarded.has_writing(writer)


def test_a_stop_waits_for_no_other_freeze(
    machine: Machine, host: LinuxHost, guarded: Guarded
) -> None:
    """Whoever froze as well may be paused for ever: the stop is over nevertheless."""
    data = stage(host, machine.base, "data", "ext4")
    writer = _writer(guarded, data)
    argv = [sys.executable, "-c", _LATE_FREEZE, str(guarded.post.directory), str(data)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as paused:
        assert paused.stdout is not None
        assert paused.stdout.readline() == "begun\n"
        guarded.arm("data")
        guarded.wait("data", State.STOPPED, done=True)
        paused.kill()
    with deadline(20.0):
        wait_until(writer.failed, "the writer's error")


def test_what_is_frozen_cannot_be_unmounted(
    machine: Machine, host: LinuxHost, guarded: Guarded
) -> None:
    """A file system that vanished while frozen would stay frozen for ever, its disk with it."""
    stage(host, machine.base, "data", "ext4")
    guarded.arm("data")
    guarded.wait("data", State.FROZEN)
    aside = machine.mount_dir / ".devices" / "data"
    subprocess.run(["umount", machine.mount_dir / "data"], check=True)
    assert subprocess.run(["umount", aside], check=False, capture_output=True).returncode != 0
    guarded.wait("data", State.STOPPED, done=True)
    subprocess.run(["umount", aside], check=True)


def test_a_volume_on_its_way_up_is_stopped_when_it_appears(
    machine: Machine, host: LinuxHost, guarded: Guarded
) -> None:
    """Armed before it is mounted, its programs are killed at the freeze, a late mount is shut."""
    stage(host, machine.base, "data", "ext4")
    host.unstage("data")
    aside = machine.mount_dir / ".devices" / "data"
    environment = os.environ | {"VOLPLUG_LEASE": f"{machine.mount_dir.resolve()}/data@7"}
    with subprocess.Popen(["sleep", "600"], env=environment) as program:
        base_s = guarded.arm("data", staged=False)
        assert program.wait(20.0) == -signal.SIGKILL
        assert boottime_s() >= base_s + FREEZE_S
    guarded.wait("data", State.STOPPED)
    aside.mkdir(parents=True)
    subprocess.run(["mount", "-o", "loop", machine.base / "data.img", aside], check=True)
    try:
        guarded.wait("data", State.STOPPED, done=True)
        with pytest.raises(OSError, match="Input/output"):
            (aside / "file").write_text("too late")
    finally:
        subprocess.run(["umount", aside], check=True)
        aside.rmdir()


def test_the_machines_own_file_system_is_never_stopped(machine: Machine, guarded: Guarded) -> None:
    """A volume's directory that is a bind of the machine's disk is refused, and said so."""
    target = machine.mount_dir / "data"
    target.mkdir()
    subprocess.run(["mount", "--bind", machine.base, target], check=True)
    try:
        guarded.arm("data")
        guarded.wait("data", State.STOPPED)
        with deadline(20.0):
            wait_until(lambda: "machine's own" in guarded.log(), "its words")
        (target / "file").write_text("alive")
        guarded.ask(do="disarm", volume="data", token=None)
    finally:
        subprocess.run(["umount", target], check=True)
        target.rmdir()
