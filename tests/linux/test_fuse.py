"""A FUSE file system cut off from its daemon: at once, for good, and no other one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.machine import need_root
from volplug.deadline import deadline, wait_until
from volplug.errors import HostError
from volplug.linux import fuse, mountinfo, pulse, superblock, unmounting
from volplug.linux.mountinfo import Mount, MountWatch
from volplug.linux.pulse import Answer

pytestmark = pytest.mark.root


@dataclass(frozen=True)
class Share:
    """A mounted FUSE share whose daemon is a process of its own."""

    target: Path
    daemon: int

    @property
    def mount(self) -> Mount:
        """The mount as the kernel lists it."""
        mount = mountinfo.read().at(self.target)
        assert mount is not None
        return mount

    def reader(self) -> "subprocess.Popen[str]":
        """Begin to read the directory; return once that waits for the daemon."""
        reader = subprocess.Popen(["ls", self.target], stderr=subprocess.PIPE, text=True)
        wchan = Path(f"/proc/{reader.pid}/wchan")
        with deadline(10):
            wait_until(lambda: "request_wait" in wchan.read_text(), "the reader to wait", 0.01)
        return reader


def _begin(target: Path) -> Share:
    target.mkdir()
    argv = [sys.executable, "-m", "tests.linux.fuse_share", str(target)]
    root = Path(__file__).parents[2]
    done = subprocess.run(argv, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    return Share(target, int(done.stdout))


@pytest.fixture
def shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Share, Share]]:
    """Lend two shares, of which one daemon is to be stopped; nobody has listed connections yet."""
    need_root()
    monkeypatch.setattr(pulse, "PATIENCE_S", 0.5)
    listed = mountinfo.read().at(fuse.CONNECTIONS) is not None
    shares = _begin(tmp_path / "one"), _begin(tmp_path / "other")
    yield shares
    for share in shares:
        subprocess.run(["umount", "-l", "-i", share.target], check=False, capture_output=True)
        with suppress(ProcessLookupError):
            os.kill(share.daemon, signal.SIGKILL)
    if not listed and mountinfo.read().at(fuse.CONNECTIONS) is not None:
        subprocess.run(["umount", fuse.CONNECTIONS], check=True)


def test_abort_frees_a_blocked_reader(shares: tuple[Share, Share]) -> None:
    """Its daemon stopped, whoever reads gets an error; its neighbour is spared."""
    one, other = shares
    os.kill(one.daemon, signal.SIGSTOP)
    with one.reader() as reader:
        try:
            fuse.abort(one.mount)
            code = reader.wait(20)
        finally:
            reader.kill()
        assert code != 0
        assert reader.stderr is not None
        words = reader.stderr.read()
        assert "connection abort" in words or "not connected" in words
    assert pulse.ask(one.target) is Answer.GONE
    assert pulse.ask(other.target) is Answer.FINE
    fuse.abort(one.mount)
    unmounting.unmount_share(one.target, MountWatch())
    assert pulse.ask(other.target) is Answer.FINE


def test_abort_hits_nothing_else(shares: tuple[Share, Share], tmp_path: Path) -> None:
    """Not what is no FUSE, not what is mounted elsewhere by now, and not what lies on top."""
    one, other = shares
    disk = mountinfo.read().containing(Path("/etc"))
    with pytest.raises(HostError, match="no FUSE connection"):
        fuse.abort(disk)
    old = one.mount
    for stale in (
        replace(old, mountpoint=str(other.target)),
        replace(other.mount, number=old.number),
        replace(other.mount, device=old.device),
        replace(old, mountpoint=str(tmp_path / "none")),
    ):
        with pytest.raises(HostError, match="abort"):
            fuse.abort(stale)
    subprocess.run(["mount", "-i", "-t", "tmpfs", "none", one.target], check=True)
    with pytest.raises(HostError, match="another file system"):
        fuse.abort(old)
    subprocess.run(["umount", one.target], check=True)
    subprocess.run(["umount", "-i", one.target], check=True)
    with pytest.raises(HostError, match="another file system"):
        fuse.abort(old)
    assert pulse.ask(other.target) is Answer.FINE


def test_a_stopped_daemon_does_not_keep_its_share(
    shares: tuple[Share, Share], caplog: pytest.LogCaptureFixture
) -> None:
    """Someone hangs inside, and no answer comes: the connection is aborted, and the share goes."""
    one, other = shares
    device = one.mount.device
    os.kill(one.daemon, signal.SIGSTOP)
    with one.reader() as reader:
        try:
            unmounting.unmount_share(one.target, MountWatch())
            assert reader.wait(1) != 0
        finally:
            reader.kill()
    assert mountinfo.read().at(one.target) is None
    assert not superblock.lives(device)
    assert "had its FUSE connection aborted" in caplog.text
    assert "lazily" not in caplog.text
    assert pulse.ask(other.target) is Answer.FINE
