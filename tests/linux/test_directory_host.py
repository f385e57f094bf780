"""The host without root keeps the contract too, and refuses what it cannot do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from volplug.errors import HostError, Unsupported
from volplug.host import Host
from volplug.linux import DirectoryHost
from volplug.source import Device, LoopFile, Share, Source
from volplug.testing import HostContract, Known
from volplug.volume import Owner


@pytest.mark.root
class TestDirectoryHost(HostContract):
    """As root, for it takes root to make a mount namespace that uses a volume."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], Host]:
        """Return a maker of hosts on one directory."""
        return lambda: DirectoryHost(tmp_path / "state")


@pytest.fixture
def host(tmp_path: Path) -> DirectoryHost:
    """Return a host."""
    return DirectoryHost(tmp_path / "state")


@pytest.fixture
def share(tmp_path: Path) -> Share:
    """Return a directory of this machine."""
    (tmp_path / "tree").mkdir()
    return Share("bind", str(tmp_path / "tree"))


def test_source_itself_is_handed_out(host: DirectoryHost, share: Share) -> None:
    """Nothing can be mounted, so nothing is; a directory that went away is not handed out."""
    assert Known().stage(host, "v", share) == Path(share.source)
    Path(share.source).rmdir()
    assert host.path("v") is None
    assert host.users("v") == 0
    host.unstage("v")


@pytest.mark.parametrize(
    "source",
    [Share("nfs", "server:/x"), Device(LoopFile(Path("/disk.img")), "ext4")],
    ids=["nfs", "disk"],
)
def test_mounts_need_root(host: DirectoryHost, source: Source) -> None:
    """Everything else is refused with the reason, and leaves no record."""
    with pytest.raises(Unsupported, match="needs root"):
        Known().stage(host, "v", source)
    assert host.staged() == set()


def test_read_only_needs_root(host: DirectoryHost, share: Share) -> None:
    """A directory cannot be made read only for some."""
    with pytest.raises(Unsupported, match="needs root"):
        Known().stage(host, "v", share, read_only=True)


@pytest.mark.parametrize("owner", [Owner(uid=12345), Owner(gid=12345)])
def test_other_owner_needs_root(host: DirectoryHost, share: Share, owner: Owner) -> None:
    """Only ourselves can be given a directory, and a refusal is not taken for READY."""
    known = Known()
    with pytest.raises(Unsupported, match="needs root"):
        known.stage(host, "v", share, owner)
    assert known.history == []
    known.stage(host, "v", share, Owner(os.geteuid(), os.getegid(), 0o700))


def test_missing_directory_is_named(host: DirectoryHost, tmp_path: Path) -> None:
    """A source that is not there is refused."""
    with pytest.raises(HostError, match="not a directory of this machine"):
        Known().stage(host, "v", Share("bind", str(tmp_path / "gone")))
