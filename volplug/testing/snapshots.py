"""The contract of drivers that can keep what a volume holds, beside `DriverContract`.

    class TestMyDriver(DriverContract, SnapshottableContract): ...

Where its backend cannot do that cheaply, a driver says Unsupported and leaves nothing behind.
"""

from typing import ClassVar

import pytest

from volplug.driver import Snapshottable
from volplug.errors import InvalidOptions, Unsupported, VolplugError
from volplug.testing.driver import AGAIN
from volplug.testing.making import AnyDriver, AnyVolume, Make


class SnapshottableContract:
    """What a driver promises that can make snapshots."""

    ability: ClassVar[type] = Snapshottable

    def test_snapshot_again_is_the_same_one(
        self, volume: AnyVolume, make: Make, reopened: AnyDriver
    ) -> None:
        """One name is one snapshot, however often and from wherever it is asked for."""
        if not _taken(make.driver, volume, "again"):
            return
        for driver in [make.driver] * AGAIN + [reopened]:
            _taken(driver, volume, "again")
        found = _able(make.driver).snapshots(volume)
        assert [one.name for one in found] == ["again"]
        assert _able(reopened).snapshots(volume) == found

    def test_snapshots_are_listed_with_their_volume(self, make: Make) -> None:
        """A volume's list has its own snapshots under their own names, and no others."""
        one, other = make(), make()
        names = ["monday", "Monday", "monday.", "x" * 128]
        if _taken(make.driver, one, names[0]):
            for name in names[1:]:
                _taken(make.driver, one, name)
            assert _names(make.driver, one) == sorted(names)
        assert _names(make.driver, other) == []

    def test_snapshot_is_taken_of_a_volume_in_use(self, volume: AnyVolume, make: Make) -> None:
        """Whoever has the volume keeps it, as it was."""
        driver = make.driver
        before = driver.attach(volume, driver.node_id())
        if _taken(driver, volume, "used"):
            assert _names(driver, volume) == ["used"]
        assert driver.attach(volume, driver.node_id()) == before

    def test_delete_snapshot_again_is_success(self, volume: AnyVolume, make: Make) -> None:
        """Already gone is what was wanted, also of a volume that is gone; others stay."""
        driver = make.driver
        taken = all(_taken(driver, volume, name) for name in ("doomed", "kept"))
        for _ in range(AGAIN):
            _able(driver).delete_snapshot(volume, "doomed")
        assert _names(driver, volume) == (["kept"] if taken else [])
        _able(driver).delete_snapshot(volume, "kept")
        driver.delete(volume)
        _able(driver).delete_snapshot(volume, "kept")

    def test_volume_from_a_snapshot_is_its_own(self, volume: AnyVolume, make: Make) -> None:
        """It has its own handle and source, and is found again; its origin stays the same."""
        driver, name = make.driver, make.free_name()
        before = driver.attach(volume, driver.node_id())
        if not _taken(driver, volume, "seed"):
            return
        made = [_grown(make, volume, "seed", name) for _ in range(AGAIN)]
        assert len({one.handle for one in made} | {volume.handle}) == 2
        assert driver.attach(volume, driver.node_id()) == before
        assert driver.attach(made[0], driver.node_id()) != before

    def test_volume_from_a_snapshot_outlives_it(self, volume: AnyVolume, make: Make) -> None:
        """Neither the snapshot's end nor its volume's touches what was made from it."""
        driver = make.driver
        if not _taken(driver, volume, "seed"):
            return
        made = _grown(make, volume, "seed", make.free_name())
        before = driver.attach(made, driver.node_id())
        _able(driver).delete_snapshot(volume, "seed")
        driver.delete(volume)
        assert driver.attach(made, driver.node_id()) == before

    def test_volume_from_no_snapshot_is_refused(self, volume: AnyVolume, make: Make) -> None:
        """A snapshot that is not there is a mistake of the user's, also if its volume is there."""
        with pytest.raises((InvalidOptions, Unsupported)):
            _grown(make, volume, "nothing", make.free_name())

    def test_snapshot_of_a_deleted_volume_is_refused(self, volume: AnyVolume, make: Make) -> None:
        """There is nothing to keep, and nothing to list."""
        make.driver.delete(volume)
        with pytest.raises(VolplugError):
            _able(make.driver).create_snapshot(volume, "late")
        assert _names(make.driver, volume) == []


def _able(driver: AnyDriver) -> Snapshottable:
    assert isinstance(driver, Snapshottable)
    return driver


def _taken(driver: AnyDriver, volume: AnyVolume, name: str) -> bool:
    """Take a snapshot; say whether this backend can."""
    try:
        _able(driver).create_snapshot(volume, name)
    except Unsupported:
        return False
    return True


def _names(driver: AnyDriver, volume: AnyVolume) -> list[str]:
    return sorted(one.name for one in _able(driver).snapshots(volume))


def _grown(make: Make, origin: AnyVolume, snapshot: str, name: str) -> AnyVolume:
    """Make a volume from a snapshot."""
    handle = _able(make.driver).clone_snapshot(origin, snapshot, name, origin.options)
    return make.keep(name, origin.options, handle)
