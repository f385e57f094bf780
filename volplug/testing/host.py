"""The contracts that every host keeps, as tests to inherit.

    class TestMyHost(HostContract, DiskContract, MountContract):
        @pytest.fixture
        def reopen(self, tmp_path): return lambda: MyHost(tmp_path)

        # ... and the other fixtures that HostFixtures names

A host holds the only hands that can destroy data, so most of this is about what it must not do:
format what is not empty, let go of what is used, take one source for another. `HostContract` is
for every host, `MountContract` (mount.py) for those that really mount, and `DiskContract` (disk.py)
for those that format disks. Each test takes one promise of `volplug.host`.
"""

import os
from collections.abc import Callable

import pytest

from volplug.errors import HostError, VolumeInUse
from volplug.host import Formatted, Host
from volplug.options import Size
from volplug.source import Share, Source
from volplug.testing.host_fixtures import AGAIN, Elsewhere, HostFixtures
from volplug.testing.known import Known, Refused
from volplug.volume import Owner


class HostContract(HostFixtures):
    """What every host promises."""

    # -- up

    def test_unknown_volume_has_no_path(self, host: Host) -> None:
        """What was never staged is nowhere, is used by nobody, and is not on record."""
        assert host.path("v") is None
        assert host.users("v") == 0
        assert host.staged() == set()

    def test_stage_again_is_success(self, host: Host, known: Known, source: Source) -> None:
        """Staging ten times is as staging once."""
        paths = {known.stage(host, "v", source) for _ in range(AGAIN)}
        assert len(paths) == 1
        assert host.staged() == {"v"}

    def test_stage_from_another_source_is_refused(
        self, host: Host, known: Known, tree: Callable[[str], Share]
    ) -> None:
        """A staged volume stays what it is."""
        path = known.stage(host, "v", tree("one"))
        (path / "mine").touch()
        with pytest.raises(HostError):
            known.stage(host, "v", tree("two"))
        assert host.path("v") == path
        assert (path / "mine").exists()

    def test_two_volumes_are_two_directories(
        self, host: Host, tree: Callable[[str], Share]
    ) -> None:
        """What is written to one volume does not show in another, nor does its end."""
        one = Known().stage(host, "a", tree("one"))
        two = Known().stage(host, "a.b", tree("two"))
        (one / "file").touch()
        assert list(two.iterdir()) == []
        host.unstage("a")
        assert host.path("a.b") == two
        assert host.staged() == {"a.b"}

    @pytest.mark.parametrize("name", ["x" * 128, "A.json", "0..x", "a" * 64])
    def test_every_allowed_name_can_be_staged(
        self, host: Host, known: Known, source: Source, name: str
    ) -> None:
        """Long names and names with dots are names like others."""
        known.stage(host, name, source)
        assert host.staged() == {name}
        host.unstage(name)
        assert host.staged() == set()

    def test_failure_to_remember_leaves_nothing_handed_out(
        self, host: Host, source: Source
    ) -> None:
        """A volume whose state cannot be stored is not handed out, and a repetition mends it."""
        known = Known(fails_at=Formatted.READY)
        with pytest.raises(Refused):
            known.stage(host, "v", source)
        assert host.path("v") is None
        known.fails_at = None
        known.stage(host, "v", source)
        assert known.filesystem.formatted is Formatted.READY

    def test_ready_volume_is_not_remembered_again(
        self, host: Host, known: Known, source: Source
    ) -> None:
        """The state ends at READY, and is not stored without need."""
        known.stage(host, "v", source)
        assert known.history[-1].formatted is Formatted.READY
        known.history.clear()
        known.stage(host, "v", source)
        host.unstage("v")
        known.stage(host, "v", source)
        assert known.history == []

    # -- owner

    def test_owner_is_applied_when_first_staged(
        self, host: Host, known: Known, source: Source
    ) -> None:
        """The top directory gets the mode that was asked for, setgid too, and keeps its owner."""
        owner = Owner(os.geteuid(), os.getegid(), 0o2750)
        found = known.stage(host, "v", source, owner).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (
            owner.uid,
            owner.gid,
            owner.mode,
        )

    def test_owner_is_applied_once_only(self, host: Host, known: Known, source: Source) -> None:
        """What the application changed later is kept."""
        path = known.stage(host, "v", source, Owner(mode=0o750))
        path.chmod(0o711)
        assert known.stage(host, "v", source, Owner(mode=0o750)).stat().st_mode & 0o777 == 0o711
        host.unstage("v")
        assert known.stage(host, "v", source, Owner(mode=0o750)).stat().st_mode & 0o777 == 0o711

    # -- down

    def test_unstage_again_is_success(self, host: Host, known: Known, source: Source) -> None:
        """Unstaging ten times, or what never was staged, is as unstaging once."""
        known.stage(host, "v", source)
        for _ in range(AGAIN):
            host.unstage("v")
        host.unstage("never")
        assert host.path("v") is None
        assert host.staged() == set()

    def test_data_outlives_unstage(self, host: Host, known: Known, source: Source) -> None:
        """What was written is there when the volume is staged again."""
        (known.stage(host, "v", source) / "file").write_text("kept")
        host.unstage("v")
        assert (known.stage(host, "v", source) / "file").read_text() == "kept"

    def test_host_after_a_restart_knows_what_is_staged(
        self, host: Host, known: Known, source: Source, reopen: Callable[[], Host]
    ) -> None:
        """Another process goes on with what one has staged, and takes it down."""
        path = known.stage(host, "v", source)
        (path / "file").write_text("kept")
        again = reopen()
        assert again.path("v") == path
        assert again.staged() == {"v"}
        assert known.stage(again, "v", source) == path
        again.unstage("v")
        assert again.path("v") is None
        assert host.path("v") is None
        assert (known.stage(again, "v", source) / "file").read_text() == "kept"

    # -- users

    def test_nobody_uses_what_was_only_staged(
        self, host: Host, known: Known, source: Source
    ) -> None:
        """The host's own mounts, and their copies in other namespaces, are no users."""
        known.stage(host, "v", source)
        assert host.users("v") == 0

    def test_users_are_counted_and_respected(
        self, host: Host, known: Known, source: Source, elsewhere: Elsewhere
    ) -> None:
        """A volume that another namespace has mounted is not unstaged, and nothing changes."""
        path = known.stage(host, "v", source)
        with elsewhere(path):
            assert host.users("v") == 1
            with elsewhere(path):
                assert host.users("v") == 2
            with pytest.raises(VolumeInUse):
                host.unstage("v")
            assert host.path("v") == path
            assert host.staged() == {"v"}
        assert host.users("v") == 0
        host.unstage("v")
        assert host.path("v") is None

    def test_users_are_seen_after_a_restart(
        self,
        host: Host,
        known: Known,
        source: Source,
        elsewhere: Elsewhere,
        reopen: Callable[[], Host],
    ) -> None:
        """Who uses a volume is asked of the machine, not of memory."""
        with elsewhere(known.stage(host, "v", source)):
            assert reopen().users("v") == 1
            with pytest.raises(VolumeInUse):
                reopen().unstage("v")

    def test_users_are_of_one_volume(
        self, host: Host, tree: Callable[[str], Share], elsewhere: Elsewhere
    ) -> None:
        """A neighbour on the same file system is not a user."""
        path = Known().stage(host, "a", tree("a"))
        Known().stage(host, "ab", tree("ab"))
        with elsewhere(path):
            assert host.users("a") == 1
            assert host.users("ab") == 0

    def test_grow_of_a_tree_is_success(self, host: Host, known: Known, source: Source) -> None:
        """A tree has no file system of its own to grow."""
        known.stage(host, "v", source)
        host.grow("v", Size(10 * 1024 * 1024))
