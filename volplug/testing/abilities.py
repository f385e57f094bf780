"""The contracts of what only some drivers can, to inherit beside `DriverContract`.

    class TestMyDriver(DriverContract, ExpandableContract, FencingContract): ...

The hardest of them is fencing: a proof that a node is cut off decides whether another one may
write, so the test believes the backend's own list and not the driver's word.
"""

from contextlib import suppress
from typing import Any, ClassVar, Protocol

import pytest

from volplug.driver import Attachment, Cloneable, Expandable, Fencing
from volplug.errors import InvalidOptions, Unsupported, VolplugError
from volplug.options import Size
from volplug.source import Device, Source
from volplug.testing.driver import AGAIN
from volplug.testing.making import AnyVolume, Make
from volplug.volume import Volume


class _Verbs(Protocol):
    def attach(self, volume: Volume[Any], node_id: str) -> Source: ...
    def delete(self, volume: Volume[Any]) -> None: ...
    def detach(self, volume: Volume[Any], node_id: str) -> None: ...
    def node_id(self) -> str: ...


class _ExpandableDriver(_Verbs, Protocol):
    def expand(self, volume: Volume[Any], size: Size) -> None: ...


class _FencingDriver(_Verbs, Protocol):
    def fence(self, volume: Volume[Any], node_id: str) -> str: ...
    def attachments(self, volume: Volume[Any]) -> list[Attachment]: ...


class ExpandableContract:
    """What a driver promises that can make a volume larger."""

    ability: ClassVar[type] = Expandable

    def test_expand_grows_and_repeats(self, volume: AnyVolume, driver: _ExpandableDriver) -> None:
        """A larger size can be asked for again and again, and a disk then shows it."""
        present = _shown_bytes(driver, volume) or getattr(volume.options, "size", None) or 2**30
        size = Size(2 * present)
        for _ in range(AGAIN):
            driver.expand(volume, size)
        shown = _shown_bytes(driver, volume)
        assert shown == 0 or shown >= size

    def test_expand_never_shrinks(self, volume: AnyVolume, driver: _ExpandableDriver) -> None:
        """A smaller size is refused or already reached, and nothing is cut off."""
        before = _shown_bytes(driver, volume)
        with suppress(InvalidOptions):
            driver.expand(volume, Size(1))
        assert _shown_bytes(driver, volume) == before

    def test_expand_beyond_all_storage_is_refused(
        self, volume: AnyVolume, driver: _ExpandableDriver
    ) -> None:
        """A size that cannot be had is a refusal of the tree, and the volume stays as it was."""
        before = driver.attach(volume, driver.node_id())
        with pytest.raises(VolplugError):
            driver.expand(volume, Size(2**70))
        assert driver.attach(volume, driver.node_id()) == before

    def test_expand_of_a_deleted_volume_is_refused(
        self, volume: AnyVolume, driver: _ExpandableDriver
    ) -> None:
        """Expand never makes what is not there."""
        driver.delete(volume)
        with pytest.raises(VolplugError):
            driver.expand(volume, Size(2**31))


class CloneableContract:
    """What a driver promises that can make a volume out of another one.

    Where its backend cannot do that cheaply, it says Unsupported and leaves nothing behind.
    """

    ability: ClassVar[type] = Cloneable

    def test_clone_is_a_volume_of_its_own(self, volume: AnyVolume, make: Make) -> None:
        """A clone has its own handle and source, and is found again; its origin stays the same."""
        before = _source(make, volume)
        name = make.free_name()
        clones = [_clone(make, volume, name) for _ in range(AGAIN)]
        assert len({clone and clone.handle for clone in clones}) == 1
        assert _source(make, volume) == before
        if clones[0] is not None:
            assert clones[0].handle != volume.handle
            assert _source(make, clones[0]) != before

    def test_clone_outlives_its_origin(self, volume: AnyVolume, make: Make) -> None:
        """Deleting either of the two leaves the other one alone."""
        clone = _clone(make, volume, make.free_name())
        if clone is not None:
            before = _source(make, clone)
            make.driver.delete(volume)
            assert _source(make, clone) == before

    def test_clone_of_a_deleted_volume_is_refused(self, volume: AnyVolume, make: Make) -> None:
        """There is nothing to start from."""
        driver = make.driver
        assert isinstance(driver, Cloneable)
        driver.delete(volume)
        with pytest.raises(VolplugError):
            driver.clone(volume, make.free_name(), make.options)


class FencingContract:
    """What a driver promises that can cut a node off without the node's help."""

    ability: ClassVar[type] = Fencing

    def test_fence_proves_that_the_node_is_cut_off(
        self, volume: AnyVolume, driver: _FencingDriver
    ) -> None:
        """Afterwards the backend itself no longer lists the node; repeating is success."""
        node = driver.node_id()
        driver.attach(volume, node)
        assert node in _nodes(driver, volume)
        for _ in range(AGAIN):
            assert driver.fence(volume, node).strip(), "a proof is told in words"
        assert node not in _nodes(driver, volume)

    def test_fence_of_a_node_that_has_nothing_is_success(
        self, volume: AnyVolume, driver: _FencingDriver
    ) -> None:
        """Whoever cannot write is cut off already; that too is told in words."""
        assert driver.fence(volume, driver.node_id()).strip()

    def test_attachments_follow_attach_and_detach(
        self, volume: AnyVolume, driver: _FencingDriver
    ) -> None:
        """The backend lists a node exactly while the volume is attached to it, and once."""
        node = driver.node_id()
        assert _nodes(driver, volume) == []
        for _ in range(AGAIN):
            driver.attach(volume, node)
        assert _nodes(driver, volume) == [node]
        driver.detach(volume, node)
        assert _nodes(driver, volume) == []


def _shown_bytes(driver: _Verbs, volume: AnyVolume) -> int:
    source = driver.attach(volume, driver.node_id())
    return source.size_bytes if isinstance(source, Device) else 0


def _source(make: Make, volume: AnyVolume) -> Source:
    return make.driver.attach(volume, make.driver.node_id())


def _clone(make: Make, origin: AnyVolume, name: str) -> AnyVolume | None:
    driver = make.driver
    assert isinstance(driver, Cloneable)
    try:
        return make.keep(name, origin.options, driver.clone(origin, name, origin.options))
    except Unsupported:
        return None


def _nodes(driver: _FencingDriver, volume: AnyVolume) -> list[str]:
    return [attachment.node_id for attachment in driver.attachments(volume)]
