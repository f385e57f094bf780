"""Drivers that each break one promise. Run by test_driver_contract_bites.py only."""

import itertools
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from volplug.driver import Snapshot
from volplug.errors import VolumeNotFound
from volplug.options import Size, option
from volplug.source import Device, LoopFile, Share, Source
from volplug.testing import (
    CloneableContract,
    DriverContract,
    ExpandableContract,
    FakeConfig,
    FakeDriver,
    FakeOptions,
    FencingContract,
    SnapshottableContract,
)
from volplug.testing.fake_driver import FakeVolume
from volplug.volume import AccessMode, Volume


class _Contract(
    DriverContract, ExpandableContract, CloneableContract, FencingContract, SnapshottableContract
):
    kind: type[FakeDriver]

    @pytest.fixture
    def driver(self) -> FakeDriver:
        """Return the broken driver."""
        return self.kind(FakeConfig())

    @pytest.fixture
    def reopened(self, driver: FakeDriver) -> FakeDriver:
        """Return a second one of the same cloud."""
        return self.kind(driver.config, driver.cloud)

    @pytest.fixture
    def options(self) -> FakeOptions:
        """Ask for a disk."""
        return FakeOptions(disk=True)


class _Forgetful(FakeDriver):
    numbers = itertools.count()

    def create(self, name: str, options: FakeOptions) -> str:
        return super().create(f"{name}-{next(self.numbers)}", options)


class TestForgetful(_Contract):
    """Makes a new volume at every create."""

    kind = _Forgetful


class _OwnMemory(FakeDriver):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._made: dict[str, str] = {}

    def create(self, name: str, options: FakeOptions) -> str:
        if name not in self._made:
            self._made[name] = super().create(f"{name}-{id(self)}", options)
        return self._made[name]


class TestOwnMemory(_Contract):
    """Remembers what it made in the process, and not in the storage."""

    kind = _OwnMemory


class _Racy(FakeDriver):
    everybody_looked = threading.Barrier(8)

    def create(self, name: str, options: FakeOptions) -> str:
        if any(volume.name.startswith(name) for volume in self.cloud.volumes.values()):
            return next(h for h, v in self.cloud.volumes.items() if v.name.startswith(name))
        if threading.current_thread() is not threading.main_thread():
            self.everybody_looked.wait()
        return super().create(f"{name}-{threading.get_ident()}", options)


class TestRacy(_Contract):
    """Looks first and makes afterwards, with time between the two."""

    kind = _Racy


class _ShortNames(FakeDriver):
    def create(self, name: str, options: FakeOptions) -> str:
        return super().create(name[:32].lower().rstrip("._-"), options)


class TestShortNames(_Contract):
    """Cuts names to what its storage takes, and never thinks of the rest."""

    kind = _ShortNames


class _StrictDelete(FakeDriver):
    def delete(self, volume: Volume[FakeOptions]) -> None:
        if volume.handle not in self.cloud.volumes:
            raise VolumeNotFound(f"there is no {volume.handle}")
        super().delete(volume)


class TestStrictDelete(_Contract):
    """Complains that a volume is gone already."""

    kind = _StrictDelete


class _DeletesAll(FakeDriver):
    def delete(self, volume: Volume[FakeOptions]) -> None:
        super().delete(volume)
        self.cloud.volumes.clear()


class TestDeletesAll(_Contract):
    """Deletes more than it was asked to."""

    kind = _DeletesAll


class _AttachMakes(FakeDriver):
    def attach(self, volume: Volume[FakeOptions], node_id: str) -> Source:
        handle = self.create(volume.name, volume.options)
        return super().attach(replace(volume, handle=handle), node_id)


class TestAttachMakes(_Contract):
    """Makes what it should attach and does not find."""

    kind = _AttachMakes


class _Counting(FakeDriver):
    numbers = itertools.count()

    def attach(self, volume: Volume[FakeOptions], node_id: str) -> Source:
        source = super().attach(volume, node_id)
        return replace(source, mount_options=(f"session={next(self.numbers)}",))


class TestCounting(_Contract):
    """Gives another answer at every attach."""

    kind = _Counting


class _DeviceName(FakeDriver):
    def attach(self, volume: Volume[FakeOptions], node_id: str) -> Source:
        super().attach(volume, node_id)
        return Share("ext4", f"/dev/disk/by-id/{volume.handle}")


class TestDeviceName(_Contract):
    """Names a disk by its place in /dev."""

    kind = _DeviceName


class _OnePlace(FakeDriver):
    def attach(self, volume: Volume[FakeOptions], node_id: str) -> Source:
        super().attach(volume, node_id)
        words: Any = ["hard"]
        return Share("nfs", "filer:/srv", words)


class TestOnePlace(_Contract):
    """Gives all volumes the same place."""

    kind = _OnePlace


class _StrictDetach(FakeDriver):
    def detach(self, volume: Volume[FakeOptions], node_id: str) -> None:
        found = self.cloud.volumes.get(volume.handle)
        if found is None or node_id not in found.nodes:
            raise VolumeNotFound(f"{volume.name} is not attached")
        super().detach(volume, node_id)


class TestStrictDetach(_Contract):
    """Complains that a volume is detached already."""

    kind = _StrictDetach


class _Paths(FakeDriver):
    def attach(self, volume: Volume[FakeOptions], node_id: str) -> Source:
        place = os.path.normpath(f"/cloud/{volume.handle}/{node_id}")
        return Device(LoopFile(Path(place).parent), "ext4")


class TestPaths(_Contract):
    """Uses a handle as a path, and believes whatever it is given."""

    kind = _Paths


class _AddsUp(FakeDriver):
    def expand(self, volume: Volume[Any], size: Size) -> None:
        if size > self.config.capacity:
            raise OverflowError(size)
        self.cloud.volumes[volume.handle].size = Size(size // 2 if size > 2**31 - 1 else size)


class TestAddsUp(_Contract):
    """Adds the size at every expand, and takes a smaller one for a shrink."""

    kind = _AddsUp


class _Alias(FakeDriver):
    def clone(self, origin: Volume[Any], name: str, options: FakeOptions) -> str:
        with self.cloud.call("clone", f"{name} {options.size}"):
            return origin.handle


class TestAlias(_Contract):
    """Clones by giving the origin a second name."""

    kind = _Alias


class _Guesses(FakeDriver):
    def fence(self, volume: Volume[Any], node_id: str) -> str:
        return f"{node_id} has probably lost {volume.name}"


class TestGuesses(_Contract):
    """Says that it fenced a node, and did not."""

    kind = _Guesses


class _KeepsOnDetach(FakeDriver):
    def detach(self, volume: Volume[FakeOptions], node_id: str) -> None:
        """Do nothing."""


class TestKeepsOnDetach(_Contract):
    """Leaves a node attached for good."""

    kind = _KeepsOnDetach


class _Restless(FakeDriver):
    numbers = itertools.count()

    def node_id(self) -> str:
        return f"node-{next(self.numbers)}"


class TestRestless(_Contract):
    """Calls its node by another name at every call."""

    kind = _Restless


class _Tombstones(FakeDriver):
    def create(self, name: str, options: FakeOptions) -> str:
        if ("delete", name) in self.cloud.calls:
            raise VolumeNotFound(f"{name} was deleted for good")
        return super().create(name, options)


class TestTombstones(_Contract):
    """Never gives a name back."""

    kind = _Tombstones


class _OnlyTheLiving(FakeDriver):
    def fence(self, volume: Volume[Any], node_id: str) -> str:
        if node_id not in self.cloud.volumes[volume.handle].nodes:
            raise VolumeNotFound(f"{node_id} does not have {volume.name}")
        return super().fence(volume, node_id)


class TestOnlyTheLiving(_Contract):
    """Cannot tell that a node has nothing from an error."""

    kind = _OnlyTheLiving


class _Vague(FakeDriver):
    access_modes = frozenset(cast("list[AccessMode]", ["whatever"]))

    def create(self, name: str, options: FakeOptions) -> str:
        handle = super().create(name, options)
        self.cloud.volumes[handle + "\n"] = self.cloud.volumes[handle]
        return handle + "\n"


class TestVague(_Contract):
    """Declares a mode that there is not, and gives handles with a line's end."""

    kind = _Vague


class _Series(FakeDriver):
    numbers = itertools.count()

    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        super().create_snapshot(volume, f"{name}-{next(self.numbers)}")


class TestSeries(_Contract):
    """Takes a new snapshot each time it is asked for the same one."""

    kind = _Series


class _OneDrawer(FakeDriver):
    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        del volume
        every = (one.snapshots for one in self.cloud.volumes.values())
        return [Snapshot(name) for found in every for name in found]


class TestOneDrawer(_Contract):
    """Lists the snapshots of all volumes as if they were of each."""

    kind = _OneDrawer


class _MovesOut(FakeDriver):
    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        super().create_snapshot(volume, name)
        self.cloud.volumes[volume.handle].size = Size(1)


class TestMovesOut(_Contract):
    """Changes the volume that it takes a snapshot of."""

    kind = _MovesOut


class _StrictSnapshots(FakeDriver):
    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        del self.cloud.volumes[volume.handle].snapshots[name]


class TestStrictSnapshots(_Contract):
    """Complains that a snapshot is gone already."""

    kind = _StrictSnapshots


class _SnapshotAlias(FakeDriver):
    def clone_snapshot(
        self, origin: Volume[Any], snapshot: str, name: str, options: FakeOptions
    ) -> str:
        super().clone_snapshot(origin, snapshot, name, options)
        return origin.handle


class TestSnapshotAlias(_Contract):
    """Gives out a snapshot's own volume under a second name."""

    kind = _SnapshotAlias


class _Obliging(FakeDriver):
    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        self.cloud.volumes.setdefault(volume.handle, FakeVolume(volume.name, Size(1)))
        super().create_snapshot(volume, name)

    def clone_snapshot(
        self, origin: Volume[Any], snapshot: str, name: str, options: FakeOptions
    ) -> str:
        self.create_snapshot(origin, snapshot)
        return super().clone_snapshot(origin, snapshot, name, options)


class TestObliging(_Contract):
    """Makes whatever it should find."""

    kind = _Obliging


@dataclass(frozen=True)
class _Hooks:
    hook: str = option(help="", default="")


class _Crashes(FakeDriver):
    def create(self, name: str, options: Any) -> str:
        if options.hook:
            raise KeyError(options.hook)
        return super().create(name, FakeOptions())


class TestCrashes(DriverContract, ExpandableContract, CloneableContract):
    """Trips over what users write, explains no option, and has an ability that nobody tests."""

    kind = _Crashes

    @pytest.fixture
    def driver(self) -> FakeDriver:
        """Return a driver with options of its own."""
        self.kind.options_type = _Hooks
        return self.kind(FakeConfig())

    @pytest.fixture
    def options(self) -> _Hooks:
        """Return the defaults."""
        return _Hooks()
