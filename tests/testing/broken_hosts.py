"""Hosts that each break one promise. Run by test_host_contract_bites.py only."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from volplug.errors import HostError, Unsupported
from volplug.host import Filesystem, Formatted, Host
from volplug.options import Size
from volplug.source import Device, Source
from volplug.testing import DiskContract, FakeHost, HostContract, MountContract
from volplug.testing.fake_host import _format, _image, _look
from volplug.testing.host_fixtures import HostFixtures

_UUID = "00000000-0000-4000-8000-000000000000"


class _Fixtures(HostFixtures):
    kind: type[FakeHost]

    fstype = pytest.fixture(lambda _: "ext4")
    disk_bytes = pytest.fixture(lambda _: 9 * 1024 * 1024)

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], FakeHost]:
        """Return a maker of broken hosts on one directory."""
        return lambda: self.kind(tmp_path / "machine")

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Callable[[Path], AbstractContextManager[None]]:
        """Use whatever volume has that path, seen by a host that is not broken."""
        host = FakeHost(tmp_path / "machine")

        def use(path: Path) -> AbstractContextManager[None]:
            return host.use(next(name for name in host.staged() if host.path(name) == path))

        return use

    @pytest.fixture
    def vanish(self, tmp_path: Path) -> Callable[[str], None]:
        """Unmount behind the host's back."""
        return FakeHost(tmp_path / "machine").vanish


class _Trees(_Fixtures, HostContract):
    pass


class _Disks(_Fixtures, DiskContract):
    pass


class _Mounts(_Fixtures, MountContract):
    pass


class _Invents(FakeHost):
    def path(self, name: str) -> Path | None:
        return super().path(name) or self._directory


class TestInvents(_Trees):
    """Has a path for everything."""

    kind = _Invents


class _StrictStage(FakeHost):
    def stage(self, name: str, source: Source, **more: Any) -> None:
        if name in self.staged():
            raise HostError("already staged")
        super().stage(name, source, **more)


class TestStrictStage(_Trees):
    """Stages once."""

    kind = _StrictStage


class _TakesAnySource(FakeHost):
    def stage(self, name: str, source: Source, **more: Any) -> None:
        self.vanish(name)
        super().stage(name, source, **more)


class TestTakesAnySource(_Trees):
    """Stages a volume from whatever comes last."""

    kind = _TakesAnySource


class _OneForAll(FakeHost):
    def path(self, name: str) -> Path | None:
        return (self._directory / "contents") if super().path(name) else None


class TestOneForAll(_Trees):
    """Hands out one directory for all volumes."""

    kind = _OneForAll


class _ShortNames(FakeHost):
    def staged(self) -> set[str]:
        return {name.removesuffix(".json")[:100] for name in super().staged()}


class TestShortNames(_Trees):
    """Forgets the ends of names."""

    kind = _ShortNames


class _HandsOutEarly(FakeHost):
    def stage(self, name: str, source: Source, **more: Any) -> None:
        if not isinstance(source, Device):
            (self._directory / "mounts" / name).write_text(source.source)
            (self._directory / "records" / name).touch()
            more["remember"](Filesystem(Formatted.READY))
            self.vanish(name)
        super().stage(name, source, **more)


class TestHandsOutEarly(_Trees):
    """Hands out a volume before its state is stored."""

    kind = _HandsOutEarly


class _RemembersAlways(FakeHost):
    def stage(self, name: str, source: Source, **more: Any) -> None:
        super().stage(name, source, **more)
        more["remember"](replace(more["filesystem"], formatted=Formatted.READY))


class TestRemembersAlways(_Trees):
    """Stores the state at every stage."""

    kind = _RemembersAlways


class _NeverOwns(FakeHost):
    def _own(self, directory: Path, owner: Any) -> None:
        pass


class TestNeverOwns(_Trees):
    """Leaves the owner as it is."""

    kind = _NeverOwns


class _AlwaysOwns(FakeHost):
    def stage(self, name: str, source: Source, **more: Any) -> None:
        super().stage(name, source, **more)
        path = self.path(name)
        assert path
        self._own(path, more["owner"])


class TestAlwaysOwns(_Trees):
    """Applies the owner at every stage."""

    kind = _AlwaysOwns


class _StrictUnstage(FakeHost):
    def unstage(self, name: str) -> None:
        if super().path(name) is None:
            raise HostError("not mounted")
        super().unstage(name)


class TestStrictUnstage(_Trees):
    """Unstages once."""

    kind = _StrictUnstage


class TestStrictUnstageMounts(_Mounts):
    """Cannot clean up after a reboot."""

    kind = _StrictUnstage


class _Wipes(FakeHost):
    def unstage(self, name: str) -> None:
        path = self.path(name)
        super().unstage(name)
        if path:
            shutil.rmtree(path)
            path.mkdir()


class TestWipes(_Trees):
    """Removes the mountpoint with what is in it."""

    kind = _Wipes


class _Forgets(FakeHost):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        for record in (directory / "records").iterdir():
            record.unlink()
            (directory / "mounts" / record.name).unlink(missing_ok=True)


class TestForgets(_Trees):
    """Forgets everything on restart."""

    kind = _Forgets


class _CountsItself(FakeHost):
    def users(self, name: str) -> int:
        return super().users(name) + (self.path(name) is not None)


class TestCountsItself(_Trees):
    """Counts the host's own mount as a user."""

    kind = _CountsItself


class _UnmountsWhileUsed(FakeHost):
    def unstage(self, name: str) -> None:
        self.vanish(name)
        (self._directory / "records" / name).unlink(missing_ok=True)


class TestUnmountsWhileUsed(_Trees):
    """Takes a volume from under its users."""

    kind = _UnmountsWhileUsed


class TestUnmountsDiskWhileUsed(_Disks):
    """Takes a disk from under its users."""

    kind = _UnmountsWhileUsed


class _CountsInMemory(FakeHost):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._known: set[str] = set()

    def stage(self, name: str, source: Source, **more: Any) -> None:
        super().stage(name, source, **more)
        self._known.add(name)

    def users(self, name: str) -> int:
        return super().users(name) if name in self._known else 0


class TestCountsInMemory(_Trees):
    """Knows the users only of what it has staged itself."""

    kind = _CountsInMemory


class _CountsNeighbours(FakeHost):
    def users(self, name: str) -> int:
        return sum(FakeHost.users(self, one) for one in self.staged() if one.startswith(name[:1]))


class TestCountsNeighbours(_Trees):
    """Counts the users of similar names too."""

    kind = _CountsNeighbours


class _GrowsNothing(FakeHost):
    def grow(self, name: str, size: Size) -> None:
        raise Unsupported(f"cannot grow {name} to {size}")


class TestGrowsNothing(_Trees):
    """Refuses to grow a tree."""

    kind = _GrowsNothing


class TestMountsNothing(_Mounts):
    """Hands out directories without mounting: nothing is read only or refused."""

    kind = FakeHost


class _TrustsRecords(FakeHost):
    def vanish(self, name: str) -> None:
        super().vanish(name)
        (self._directory / "contents" / f".{name}").unlink(missing_ok=True)

    def stage(self, name: str, source: Source, **more: Any) -> None:
        super().stage(name, source, **more)
        (self._directory / "contents" / f".{name}").write_text(str(super().path(name)))

    def path(self, name: str) -> Path | None:
        note = self._directory / "contents" / f".{name}"
        return Path(note.read_text()) if note.exists() else None


class TestTrustsRecords(_Mounts):
    """Has a path for what its records say."""

    kind = _TrustsRecords


class TestTrustsRecordsOfDisks(_Disks):
    """Has a path for what its records say."""

    kind = _TrustsRecords


class _SeesOwnMountsOnly(FakeHost):
    def users(self, name: str) -> int:
        return super().users(name) if self.path(name) else 0


class TestSeesOwnMountsOnly(_Mounts):
    """Takes its own unmount for the end of use."""

    kind = _SeesOwnMountsOnly


class _FormatsAnything(FakeHost):
    def _is_empty(self, image: Path) -> bool:
        return image.exists()


class TestFormatsAnything(_Disks):
    """Believes the record, and does not look at the disk."""

    kind = _FormatsAnything


class _LooksAtTheStart(FakeHost):
    def _is_empty(self, image: Path) -> bool:
        return not any(image.read_bytes()[:4096])


class TestLooksAtTheStart(_Disks):
    """Looks only where file systems begin."""

    kind = _LooksAtTheStart


class _Preparing(FakeHost):
    """Changes what is known of a disk before it is prepared."""

    def _change(self, image: Path, filesystem: Filesystem) -> Filesystem:
        raise NotImplementedError

    def _prepared(
        self, name: str, device: Device, filesystem: Filesystem, remember: Any, *, read_only: bool
    ) -> Filesystem:
        changed = self._change(_image(device), filesystem)
        return super()._prepared(name, device, changed, remember, read_only=read_only)


class _FormatsWhatIsReady(_Preparing):
    def _change(self, image: Path, filesystem: Filesystem) -> Filesystem:
        if filesystem.formatted in (Formatted.READY, Formatted.CLONED) and self._is_empty(image):
            _format(image, filesystem)
        return filesystem


class TestFormatsWhatIsReady(_Disks):
    """Takes a disk that reads as zeros for a new one."""

    kind = _FormatsWhatIsReady


class _RemembersTooLate(_Preparing):
    def _change(self, image: Path, filesystem: Filesystem) -> Filesystem:
        if filesystem.formatted is Formatted.BLANK and self._is_empty(image):
            _format(image, Filesystem(Formatted.STARTED, "ext4", _UUID))
        return filesystem

    def _is_empty(self, image: Path) -> bool:
        return super()._is_empty(image) or _look(image)[1] == _UUID


class TestRemembersTooLate(_Disks):
    """Formats first, and stores that afterwards."""

    kind = _RemembersTooLate


class _ChoosesAnew(_Preparing):
    def _change(self, image: Path, filesystem: Filesystem) -> Filesystem:
        if filesystem.formatted is Formatted.STARTED and self._is_empty(image):
            return replace(filesystem, uuid=_UUID)
        return filesystem


class TestChoosesAnew(_Disks):
    """Formats under another UUID than the one on record."""

    kind = _ChoosesAnew


class _StartsOnce(_Preparing):
    def _change(self, image: Path, filesystem: Filesystem) -> Filesystem:
        if filesystem.formatted is Formatted.STARTED and not self._is_empty(image):
            raise HostError("somebody has begun to format this")
        return filesystem


class TestStartsOnce(_Disks):
    """Does not know its own half-finished work."""

    kind = _StartsOnce


class _TakesAnyDisk(_Preparing):
    def _change(self, image: Path, filesystem: Filesystem) -> Filesystem:
        found = _look(image)[1]
        return replace(filesystem, uuid=found) if found and filesystem.uuid else filesystem


class TestTakesAnyDisk(_Disks):
    """Mounts whatever file system is there."""

    kind = _TakesAnyDisk


class _KeepsUuid(FakeHost):
    def _renewed(self, *known: Any) -> Filesystem:
        cloned: Filesystem = known[-1]
        return replace(cloned, formatted=Formatted.READY)


class TestKeepsUuid(_Disks):
    """Leaves a clone under its origin's UUID."""

    kind = _KeepsUuid


class _RenewsOnce(FakeHost):
    def _renewed(self, name: str, image: Path, found: Any, cloned: Filesystem) -> Filesystem:
        if found != (cloned.fstype, cloned.uuid):
            raise HostError("this is not the copy")
        return super()._renewed(name, image, found, cloned)


class TestRenewsOnce(_Disks):
    """Does not know a clone that it has renewed before."""

    kind = _RenewsOnce


class _FormatsReadOnly(FakeHost):
    def stage(self, name: str, source: Source, **more: Any) -> None:
        super().stage(name, source, **(more | {"read_only": False}))


class TestFormatsReadOnly(_Disks):
    """Formats for those who may only read."""

    kind = _FormatsReadOnly


class _IgnoresSize(FakeHost):
    def stage(self, name: str, source: Source, **more: Any) -> None:
        if isinstance(source, Device):
            source = replace(source, size_bytes=0)
        super().stage(name, source, **more)


class TestIgnoresSize(_Disks):
    """Takes a disk of any size."""

    kind = _IgnoresSize


class _LostAndFound(FakeHost):
    def _contents(self, own_uuid: str) -> Path:
        directory = super()._contents(own_uuid)
        (directory / "lost+found").mkdir(exist_ok=True)
        return directory


class TestLostAndFound(_Disks):
    """Hands out the file system's top directory."""

    kind = _LostAndFound


class _FreezesNothing(FakeHost):
    frozen = Host.frozen


class TestFreezesNothing(_Disks):
    """Cannot hold a disk still."""

    kind = _FreezesNothing


class TestRemembersDisksAlways(_Disks):
    """Stores the state at every stage."""

    kind = _RemembersAlways
