"""Mounts whose server falls silent or ends: noticed, waited for by nobody, and unmounted."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux.fuse_share import FuseShare
from tests.machine import need_root
from volplug.deadline import deadline, wait_until
from volplug.errors import VolumeInUse
from volplug.linux import mountinfo, pulse, superblock, unmounting
from volplug.linux.mountinfo import Mount, MountWatch
from volplug.linux.pulse import FRESH_S, PATIENCE_S, Answer, Pulses


@pytest.fixture
def connections() -> Iterator[None]:
    """Let the kernel list its FUSE connections, as systemd does on most machines."""
    need_root()
    listed = Path("/sys/fs/fuse/connections")
    there = mountinfo.read().at(listed) is not None
    if not there:
        subprocess.run(["mount", "-t", "fusectl", "fusectl", listed], check=True)
    yield
    if not there:
        subprocess.run(["umount", listed], check=True)


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FuseShare]:
    """Lend a share that answers, and patience that ends soon."""
    need_root()
    monkeypatch.setattr(pulse, "PATIENCE_S", 0.5)
    share = FuseShare(tmp_path)
    yield share
    share.end()
    subprocess.run(["umount", "-l", "-i", tmp_path], check=False, capture_output=True)


@pytest.mark.root
def test_a_server_is_heard(share: FuseShare) -> None:
    """While the server answers its share is fine; silent, it is degraded; ended, broken."""
    assert pulse.ask(share.target) is Answer.FINE
    share.taking.clear()
    assert pulse.ask(share.target) is Answer.SILENT
    share.taking.set()
    assert pulse.ask(share.target) is Answer.FINE
    share.end()
    assert pulse.ask(share.target) is Answer.GONE


@pytest.mark.root
@pytest.mark.usefixtures("connections")
def test_a_silent_share_can_be_unmounted(share: FuseShare) -> None:
    """Nobody being inside, a share whose server is silent goes, and the kernel lets it go."""
    watch = MountWatch()
    mount = watch.now().at(share.target)
    assert mount is not None
    assert superblock.lives(mount.device)
    share.taking.clear()
    unmounting.unmount_share(share.target, watch)
    assert watch.now().at(share.target) is None
    assert not superblock.lives(mount.device)


@pytest.mark.root
def test_a_share_in_use_stays(share: FuseShare) -> None:
    """With a process inside, a share is unmounted neither while its server answers nor after."""
    # It goes inside by itself: our own fork would wait for a server that is a thread of ours.
    enter = 'cd "$0" && echo inside && exec sleep 100'
    with subprocess.Popen(["sh", "-c", enter, share.target], stdout=subprocess.PIPE) as inside:
        try:
            assert inside.stdout is not None
            assert inside.stdout.readline() == b"inside\n"
            with pytest.raises(VolumeInUse, match="working directory"):
                unmounting.unmount_share(share.target, MountWatch())
            assert pulse.ask(share.target) is Answer.FINE, "it was cut off by force"
            share.taking.clear()
            with pytest.raises(VolumeInUse, match="working directory"):
                unmounting.unmount_share(share.target, MountWatch())
            assert mountinfo.read().at(share.target) is not None
        finally:
            inside.kill()


@pytest.mark.root
def test_force_frees_who_cannot_be_killed(share: FuseShare) -> None:
    """A process that waits on a stuck server outlives SIGKILL and keeps the share; force helps."""
    share.answering.clear()
    with subprocess.Popen(
        ["stat", "--file-system", share.target], stderr=subprocess.DEVNULL
    ) as inside:
        assert share.stuck.wait(10)
        inside.kill()
        unmounting.unmount_share(share.target, MountWatch())
        assert mountinfo.read().at(share.target) is None


class Server:
    """What the pulses ask instead of a child: each question waits for the answer that is said."""

    def __init__(self) -> None:
        self.questions = 0
        self.answer = Answer.FINE
        self.answers = threading.Event()

    def question(self, path: Path) -> Answer:
        """Wait until the server answers."""
        del path
        self.questions += 1
        assert self.answers.wait(10)
        return self.answer

    def say(self, answer: Answer, pulses: Pulses) -> None:
        """Answer the question that is being asked; return when it was heard."""
        self.answer = answer
        self.answers.set()
        with deadline(10):
            wait_until(lambda: not pulses._known["v"].waiting, "the answer to be heard", 0.01)
        self.answers.clear()


def _mount(fstype: str = "nfs4", number: int = 7) -> Mount:
    return Mount(number, 1, "0:7", "/", "/mnt/v", ("rw",), (), fstype, "filer:/v")


@pytest.fixture
def now_s() -> list[float]:
    """The time, in a list, to be turned by hand."""
    return [0.0]


def test_one_question_at_a_time(now_s: list[float]) -> None:
    """Whoever wants to know is told at once what was heard last, and starts one question only."""
    server = Server()
    pulses = Pulses(server.question, lambda: now_s[0])
    assert [pulses.trouble("v", _mount()) for _ in range(50)] == [""] * 50
    server.say(Answer.SILENT, pulses)
    assert server.questions == 1
    trouble = pulses.trouble("v", _mount())
    assert trouble.startswith("degraded: filer:/v has not answered since 20")
    assert server.questions == 1, "the answer was fresh, and still the question was repeated"
    now_s[0] = FRESH_S
    assert pulses.trouble("v", _mount()) == trouble
    server.say(Answer.FINE, pulses)
    assert server.questions == 2
    assert pulses.trouble("v", _mount()) == ""


def test_a_child_that_cannot_be_killed_is_an_answer(now_s: list[float]) -> None:
    """A question that is out for much longer than our patience counts as silence."""
    server = Server()
    pulses = Pulses(server.question, lambda: now_s[0])
    assert pulses.trouble("v", _mount()) == ""
    now_s[0] = 2 * PATIENCE_S + 1
    assert pulses.trouble("v", _mount()).startswith("degraded")
    server.say(Answer.FINE, pulses)


def test_a_new_mount_is_a_new_start(now_s: list[float]) -> None:
    """What was heard of a broken mount does not count against the one that replaced it."""
    server = Server()
    pulses = Pulses(server.question, lambda: now_s[0])
    pulses.trouble("v", _mount())
    server.say(Answer.GONE, pulses)
    assert pulses.is_gone("v", _mount())
    assert pulses.trouble("v", _mount()).startswith("broken")
    assert not pulses.is_gone("v", _mount(number=8))


def test_what_needs_no_server_is_not_asked(now_s: list[float]) -> None:
    """A disk's file system is not asked for signs of life."""
    server = Server()
    pulses = Pulses(server.question, lambda: now_s[0])
    assert pulses.trouble("v", _mount("ext4")) == ""
    assert server.questions == 0
