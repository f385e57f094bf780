"""The contract of a host that formats disks: never one that holds something.

The disks are images in files, so that a test can look at every byte from outside.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from volplug.errors import HostError, VolumeInUse
from volplug.host import Filesystem, Formatted, Host
from volplug.testing.host_fixtures import Elsewhere, HostFixtures
from volplug.testing.known import Image, Known, Refused
from volplug.volume import Owner

_OTHER_UUID = "4d0f0a5c-7b8e-4f61-9c3a-0a8f7a1c2d3e"

FOREIGN = {
    "random bytes at the start": (0, bytes(range(1, 256))),
    "an ext4 superblock": (1024 + 56, b"\x53\xef"),
    "an LVM label": (512, b"LABELONE" + bytes(16) + b"LVM2 001"),
    "data in the middle only": (-2, b"x"),
    "data at the end only": (-1, b"x"),
}
"""What must never be formatted: where it stands (-1 the end, -2 the middle), and the bytes."""


class DiskContract(HostFixtures):
    """What a host that formats disks promises besides.

    Provide the fixtures `fstype` and `disk_bytes` as well.
    """

    @pytest.fixture
    def image(self, tmp_path: Path, fstype: str, disk_bytes: int) -> Callable[[str], Image]:
        """Return a maker of empty disks."""

        def make(name: str = "disk") -> Image:
            path = tmp_path / f"{name}.img"
            with path.open("wb") as file:
                file.truncate(disk_bytes)
            return Image(path, fstype)

        return make

    @pytest.fixture
    def disk(self, image: Callable[[str], Image]) -> Image:
        """Return an empty disk."""
        return image("disk")

    def test_blank_disk_is_formatted_once(self, host: Host, known: Known, disk: Image) -> None:
        """The state goes from STARTED to READY under one UUID, and ends there."""
        (known.stage(host, "v", disk.source) / "file").write_text("kept")
        assert [known.formatted for known in known.history] == [Formatted.STARTED, Formatted.READY]
        assert {(known.fstype, known.uuid) for known in known.history} == {
            (disk.fstype, known.filesystem.uuid)
        }
        assert known.filesystem.uuid
        host.unstage("v")
        assert (known.stage(host, "v", disk.source) / "file").read_text() == "kept"
        assert len(known.history) == 2

    def test_disk_shows_an_empty_directory(self, host: Host, known: Known, disk: Image) -> None:
        """No `lost+found`: Docker copies an image's files only into an empty directory."""
        assert list(known.stage(host, "v", disk.source).iterdir()) == []

    def test_formatting_is_remembered_before_it_begins(
        self, host: Host, known: Known, disk: Image
    ) -> None:
        """The disk is still empty when STARTED is stored, and full when READY is."""
        empty: dict[Formatted, bool] = {}
        known.seen = lambda filesystem: empty.update({filesystem.formatted: disk.is_zero()})
        known.stage(host, "v", disk.source)
        assert empty == {Formatted.STARTED: True, Formatted.READY: False}

    def test_disk_is_not_formatted_if_that_cannot_be_remembered(
        self, host: Host, disk: Image
    ) -> None:
        """Without the record there is no mkfs."""
        with pytest.raises(Refused):
            Known(fails_at=Formatted.STARTED).stage(host, "v", disk.source)
        assert disk.is_zero()

    @pytest.mark.parametrize("formatted", [Formatted.BLANK, Formatted.STARTED])
    @pytest.mark.parametrize("foreign", FOREIGN)
    def test_foreign_data_is_refused_and_kept(
        self, host: Host, disk: Image, foreign: str, formatted: Formatted
    ) -> None:
        """Whatever the record says, what holds something is not formatted, byte for byte."""
        disk.write(*FOREIGN[foreign])
        before = disk.written()
        uuid = "" if formatted is Formatted.BLANK else _OTHER_UUID
        known = Known(Filesystem(formatted, disk.fstype if uuid else "", uuid))
        with pytest.raises(HostError):
            known.stage(host, "v", disk.source)
        assert disk.written() == before
        assert known.history == []

    def test_disk_whose_record_was_lost_is_refused_and_kept(
        self, host: Host, known: Known, disk: Image
    ) -> None:
        """A volume of our own that is taken for a new one keeps its data."""
        known.stage(host, "v", disk.source)
        host.unstage("v")
        before = disk.written()
        for lost in (
            Filesystem(),
            Filesystem(Formatted.STARTED, disk.fstype, _OTHER_UUID),
        ):
            with pytest.raises(HostError):
                Known(lost).stage(host, "v", disk.source)
            assert disk.written() == before

    def test_started_on_an_empty_disk_is_formatted_as_was_planned(
        self, host: Host, disk: Image
    ) -> None:
        """After a crash before mkfs, mkfs runs with the UUID on record."""
        planned = Filesystem(Formatted.STARTED, disk.fstype, _OTHER_UUID)
        known = Known(planned)
        known.stage(host, "v", disk.source)
        assert known.history == [replace(planned, formatted=Formatted.READY)]

    def test_started_with_our_uuid_is_continued(
        self, host: Host, disk: Image, reopen: Callable[[], Host]
    ) -> None:
        """After a crash behind mkfs, the same file system becomes READY, by another process."""
        known = Known(fails_at=Formatted.READY)
        with pytest.raises(Refused):
            known.stage(host, "v", disk.source, Owner(mode=0o2750))
        known.fails_at = None
        path = known.stage(reopen(), "v", disk.source, Owner(mode=0o2750))
        assert path.stat().st_mode & 0o7777 == 0o2750
        assert [known.formatted for known in known.history] == [Formatted.STARTED, Formatted.READY]
        assert len({known.uuid for known in known.history}) == 1

    def test_ready_is_never_formatted(self, host: Host, disk: Image) -> None:
        """A disk that should hold data and is empty is a fault, and stays empty."""
        ready = Filesystem(Formatted.READY, disk.fstype, _OTHER_UUID)
        with pytest.raises(HostError):
            Known(ready).stage(host, "v", disk.source)
        assert disk.is_zero()

    def test_another_disk_is_not_taken_for_ours(
        self, host: Host, known: Known, image: Callable[[str], Image]
    ) -> None:
        """A disk with another UUID is refused, though it is a volume of ours."""
        other = image("other")
        Known().stage(host, "other", other.source)
        host.unstage("other")
        known.stage(host, "v", image("disk").source)
        host.unstage("v")
        with pytest.raises(HostError):
            known.stage(host, "v", other.source)
        assert host.path("v") is None

    def test_frozen_disk_is_used_again_afterwards(
        self, host: Host, known: Known, disk: Image
    ) -> None:
        """It is held still in the block only, and what is not mounted is told and not raised."""
        file = known.stage(host, "v", disk.source) / "file"
        file.write_text("before")
        with host.frozen("v") as freeze:
            assert file.read_text() == "before"
        assert freeze.held
        file.write_text("after")
        host.unstage("v")
        with host.frozen("v") as freeze:
            pass
        assert not freeze.held
        assert freeze.trouble

    def test_clone_becomes_a_volume_of_its_own(
        self, host: Host, known: Known, image: Callable[[str], Image]
    ) -> None:
        """A copy gets a UUID of its own, keeps the data, and is used beside its origin."""
        origin, clone = image("origin"), image("clone")
        (known.stage(host, "origin", origin.source) / "file").write_text("kept")
        host.unstage("origin")
        origin.copy_to(clone)
        copied = Known(replace(known.filesystem, formatted=Formatted.CLONED))
        first = known.stage(host, "origin", origin.source)
        second = copied.stage(host, "clone", clone.source)
        assert copied.filesystem.formatted is Formatted.READY
        assert copied.filesystem.uuid != known.filesystem.uuid
        (second / "file").write_text("changed")
        assert (first / "file").read_text() == "kept"
        host.unstage("clone")
        assert (copied.stage(host, "clone", clone.source) / "file").read_text() == "changed"

    def test_clone_is_continued_after_a_crash(
        self, host: Host, known: Known, image: Callable[[str], Image], reopen: Callable[[], Host]
    ) -> None:
        """A copy that has its new UUID, which was not stored yet, is still ours."""
        origin, clone = image("origin"), image("clone")
        (known.stage(host, "origin", origin.source) / "file").write_text("kept")
        host.unstage("origin")
        origin.copy_to(clone)
        copied = Known(replace(known.filesystem, formatted=Formatted.CLONED))
        copied.fails_at = Formatted.READY
        with pytest.raises(Refused):
            copied.stage(host, "clone", clone.source)
        copied.fails_at = None
        assert (copied.stage(reopen(), "clone", clone.source) / "file").read_text() == "kept"

    def test_clone_without_data_is_refused(self, host: Host, disk: Image) -> None:
        """An empty disk that should hold a copy is a fault, and stays empty."""
        cloned = Filesystem(Formatted.CLONED, disk.fstype, _OTHER_UUID)
        with pytest.raises(HostError):
            Known(cloned).stage(host, "v", disk.source)
        assert disk.is_zero()

    def test_blank_disk_is_not_staged_read_only(
        self, host: Host, known: Known, disk: Image
    ) -> None:
        """Who may only read cannot format either."""
        with pytest.raises(HostError):
            known.stage(host, "v", disk.source, read_only=True)
        assert disk.is_zero()
        assert known.history == []

    def test_disk_that_is_too_small_is_refused(
        self, host: Host, known: Known, disk: Image, disk_bytes: int
    ) -> None:
        """A disk that shows less than its volume has is not touched."""
        larger = replace(disk.source, size_bytes=disk_bytes + 1)
        with pytest.raises(HostError):
            known.stage(host, "v", larger)
        assert disk.is_zero()

    def test_users_of_a_disk_are_respected(
        self, host: Host, known: Known, disk: Image, elsewhere: Elsewhere
    ) -> None:
        """A disk is not taken from under its users; afterwards it is."""
        path = known.stage(host, "v", disk.source)
        with elsewhere(path):
            assert host.users("v") == 1
            with pytest.raises(VolumeInUse):
                host.unstage("v")
            assert host.path("v") == path
        host.unstage("v")
        assert host.staged() == set()

    def test_disk_comes_back_after_the_mount_vanished(
        self, host: Host, known: Known, disk: Image, vanish: Callable[[str], None]
    ) -> None:
        """Staging mends what somebody unmounted, and finds the data."""
        (known.stage(host, "v", disk.source) / "file").write_text("kept")
        vanish("v")
        assert host.path("v") is None
        assert (known.stage(host, "v", disk.source) / "file").read_text() == "kept"
