"""The contract of hosts that really mount; see host.py."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from volplug.errors import HostError, VolumeInUse
from volplug.host import Host
from volplug.source import Share, Source
from volplug.testing.host_fixtures import Elsewhere, HostFixtures
from volplug.testing.known import Known
from volplug.volume import Owner

HOSTILE_OPTIONS = (
    "bind", "rbind", "move", "remount", "loop", "suid", "dev", "user", "x-mount.mkdir",
    "X-mount.subdir=..", "context=u:r:t:s0", "helper=sh", "ro,suid", "noatime\nsuid", "", "-o",
)  # fmt: skip


class MountContract(HostFixtures):
    """What a host that really mounts promises besides, for trees."""

    def test_path_only_while_mounted(
        self, host: Host, known: Known, source: Source, vanish: Callable[[str], None]
    ) -> None:
        """What somebody unmounted has no path, whatever the records say; stage mends it."""
        (known.stage(host, "v", source) / "file").write_text("kept")
        vanish("v")
        assert host.path("v") is None
        assert host.staged() == {"v"}
        assert (known.stage(host, "v", source) / "file").read_text() == "kept"

    def test_unstage_after_the_mount_vanished(
        self, host: Host, known: Known, source: Source, vanish: Callable[[str], None]
    ) -> None:
        """As after a reboot: the rest is cleaned up."""
        known.stage(host, "v", source)
        vanish("v")
        host.unstage("v")
        assert host.staged() == set()

    def test_users_are_seen_after_the_mount_vanished(
        self,
        host: Host,
        known: Known,
        source: Source,
        elsewhere: Elsewhere,
        vanish: Callable[[str], None],
    ) -> None:
        """Unmounting on the host does not end a container's use, and staging again is possible."""
        path = known.stage(host, "v", source)
        with elsewhere(path):
            vanish("v")
            assert host.users("v") == 1
            with pytest.raises(VolumeInUse):
                host.unstage("v")
            known.stage(host, "v", source)
            assert host.users("v") == 1

    def test_read_only_is_read_only(self, host: Host, known: Known, source: Source) -> None:
        """Nobody can write to a volume that is staged read only, not even root."""
        path = known.stage(host, "v", source, read_only=True)
        with pytest.raises(OSError, match="Read-only") as refusal:
            (path / "file").touch()
        assert refusal.value.errno == errno.EROFS

    def test_owner_is_applied_though_read_only(
        self, host: Host, known: Known, source: Source
    ) -> None:
        """The first stage gives the owner, whoever may write later."""
        path = known.stage(host, "v", source, Owner(1234, 4321, 0o750), read_only=True)
        found = path.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1234, 4321, 0o750)

    def test_staged_writable_is_not_staged_read_only(
        self, host: Host, known: Known, source: Source
    ) -> None:
        """What is staged one way is not taken for staged the other way."""
        known.stage(host, "v", source)
        with pytest.raises(HostError):
            known.stage(host, "v", source, read_only=True)

    def test_devices_and_setuid_do_not_work(self, host: Host, known: Known, source: Source) -> None:
        """What a container puts there, the node neither runs as root nor opens as a disk."""
        flags = os.statvfs(known.stage(host, "v", source)).f_flag
        assert flags & os.ST_NOSUID
        assert flags & os.ST_NODEV

    @pytest.mark.parametrize("option", HOSTILE_OPTIONS)
    def test_orders_to_the_machine_are_refused(
        self, host: Host, known: Known, tree: Callable[[str], Share], option: str
    ) -> None:
        """Mount options that the mount program or the kernel's VFS would obey are refused."""
        share = replace(tree("hostile"), mount_options=(option,))
        with pytest.raises(HostError):
            known.stage(host, "v", share)
        assert host.path("v") is None
