"""The contract that every driver keeps, as tests to inherit.

    class TestMyDriver(DriverContract):
        @pytest.fixture
        def driver(self, tmp_path): return MyDriver(MyConfig(root=tmp_path))

        @pytest.fixture
        def options(self): return MyOptions()

A verb that is safe to call twice is not yet one that is safe to call ten times, from another
process, or from eight threads at once; and a driver is asked all of that by a core that finishes
what a crash left half done. Each test takes one promise of `volplug.driver`. Abilities have
contracts of their own (abilities.py), and a driver that has one must be given it. Nothing here
mounts or formats: that is the host's.
"""

import dataclasses
import typing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from volplug.driver import Cloneable, Expandable, Fencing, Snapshottable
from volplug.errors import VolplugError
from volplug.options import describe, parse
from volplug.source import Device, Share, from_json, to_json
from volplug.testing.making import AnyDriver, AnyVolume, Make
from volplug.volume import AccessMode

ABILITIES: tuple[type, ...] = (Cloneable, Expandable, Fencing, Snapshottable)

AGAIN = 10  # as often as CSI's own sanity test repeats a call
_THREADS = 8

_HOSTILE_TEXT = (
    "", " ", "-rf", "../../../etc", "/", "/proc/self/root", "/dev/null", "a\nb", "x" * 5000,
    "'; rm -rf x", "%s%n", "${HOME}", "0", "-1", "nan", "inf", "999999999999999P", "\N{BOMB}",
)  # fmt: skip
_FORGED_HANDLES = ("..", ".", "/", "/etc", "\n", "-rf", "%2e%2e", "x" * 300)


class DriverContract:
    """What every driver promises: inherit it, and provide the fixtures `driver` and `options`."""

    @pytest.fixture
    def reopened(self, driver: AnyDriver) -> AnyDriver:
        """Return a second driver of the same backend, as after a restart of the process."""
        return type(driver)(driver.config)

    @pytest.fixture
    def make(self, driver: AnyDriver, options: Any) -> Iterator[Make]:
        """Make volumes under names that are free, and delete them afterwards."""
        make = Make(driver, options)
        yield make
        make.clean_up()

    @pytest.fixture
    def volume(self, make: Make) -> AnyVolume:
        """Return a volume that was just made."""
        return make()

    # -- the class itself

    def test_driver_names_modes_it_can_keep(self, driver: AnyDriver) -> None:
        """The declared access modes are some of the four that there are."""
        assert driver.access_modes
        assert driver.access_modes <= frozenset(AccessMode)

    def test_every_option_has_help(self, driver: AnyDriver) -> None:
        """Each option of Config and Options is explained, for there is no other documentation."""
        for declared in (driver.config_type, driver.options_type):
            for described in describe(declared):
                assert described.help.strip(), f"{declared.__name__}.{described.name} has no help"

    def test_node_id_is_a_name_that_stays(self, driver: AnyDriver, reopened: AnyDriver) -> None:
        """The node's name is text without blanks around it, and the same at every call."""
        assert driver.node_id() == driver.node_id() == reopened.node_id()
        assert driver.node_id() == driver.node_id().strip() != ""

    def test_every_ability_has_its_contract(self, driver: AnyDriver) -> None:
        """A test class inherits, beside this contract, that of each ability of its driver."""
        declared = (vars(cls).get("ability") for cls in type(self).__mro__)
        tested = {ability for ability in declared if ability is not None}
        assert tested == {ability for ability in ABILITIES if isinstance(driver, ability)}

    # -- create

    def test_create_again_gives_the_same_handle(self, make: Make) -> None:
        """The same name and options make one volume, however often they come."""
        name = make.free_name()
        assert len({make(name).handle for _ in range(AGAIN)}) == 1

    def test_create_from_another_process_gives_the_same_handle(
        self, volume: AnyVolume, reopened: AnyDriver
    ) -> None:
        """After a crash another process finds the volume that was made already."""
        assert reopened.create(volume.name, volume.options) == volume.handle

    def test_handles_are_text_of_their_own(self, make: Make) -> None:
        """Two volumes have two handles, each of them text that can be stored and shown."""
        one, two = make(), make()
        assert one.handle != two.handle
        for volume in (one, two):
            assert isinstance(volume.handle, str)
            assert volume.handle == volume.handle.strip() != ""
            assert volume.handle.isprintable()

    def test_similar_names_are_different_volumes(self, make: Make) -> None:
        """Names that differ only in case, in the last letter or after many do not meet."""
        name = make.free_name()
        names = [name, name.upper(), f"{name}.", f"{name}_", f"{name}-", f"{name:x<127}a"]
        names.append(f"{name:x<127}b")
        assert len({make(each).handle for each in names}) == len(names)

    def test_create_from_many_threads_makes_one_volume(self, make: Make, driver: AnyDriver) -> None:
        """Whoever comes second finds what the first one made."""
        name = make.free_name()
        with ThreadPoolExecutor(_THREADS) as pool:
            handles = list(pool.map(lambda _: make(name).handle, range(_THREADS)))
        assert len(set(handles)) == 1
        driver.attach(make(name), driver.node_id())

    def test_hostile_options_are_refused_or_harmless(self, make: Make, driver: AnyDriver) -> None:
        """Whatever text a user writes, the answer is a volume or a refusal of the tree."""
        for field in dataclasses.fields(driver.options_type):
            for text in _HOSTILE_TEXT:
                with suppress(VolplugError):
                    make(options=_changed(make.options, field, text))

    # -- delete

    def test_delete_again_is_success(self, volume: AnyVolume, driver: AnyDriver) -> None:
        """Already gone is what was wanted."""
        for _ in range(AGAIN):
            driver.delete(volume)

    def test_delete_from_another_process_is_success(
        self, volume: AnyVolume, driver: AnyDriver, reopened: AnyDriver
    ) -> None:
        """A delete that crashed is repeated by whoever finds its record."""
        driver.delete(volume)
        reopened.delete(volume)

    def test_deleted_volume_cannot_be_attached(self, volume: AnyVolume, driver: AnyDriver) -> None:
        """Attach never makes what is not there."""
        driver.delete(volume)
        with pytest.raises(VolplugError):
            driver.attach(volume, driver.node_id())

    def test_delete_leaves_other_volumes_alone(self, make: Make, driver: AnyDriver) -> None:
        """Only the volume that was named goes."""
        doomed, kept = make(), make()
        before = driver.attach(kept, driver.node_id())
        driver.delete(doomed)
        assert driver.attach(kept, driver.node_id()) == before

    def test_deleted_name_can_be_made_again(
        self, volume: AnyVolume, make: Make, driver: AnyDriver
    ) -> None:
        """A name is free once its volume is gone."""
        driver.delete(volume)
        driver.attach(make(volume.name), driver.node_id())

    def test_forged_handles_reach_nothing(
        self, volume: AnyVolume, make: Make, driver: AnyDriver
    ) -> None:
        """A handle that the backend never gave is refused or unknown, and no way to another one."""
        before = driver.attach(volume, driver.node_id())
        for handle in (*_FORGED_HANDLES, f"../{volume.handle}", f"{volume.handle}/.."):
            forged = dataclasses.replace(volume, name=make.free_name(), handle=handle)
            with suppress(VolplugError):
                driver.delete(forged)
            with pytest.raises(VolplugError):
                driver.attach(forged, driver.node_id())
        assert driver.attach(volume, driver.node_id()) == before

    # -- attach and detach

    def test_attach_again_gives_an_equal_answer(
        self, volume: AnyVolume, driver: AnyDriver, reopened: AnyDriver
    ) -> None:
        """The answer depends on the volume and the node, not on how often or who asks."""
        node = driver.node_id()
        answers = [driver.attach(volume, node) for _ in range(AGAIN)]
        answers.append(reopened.attach(volume, node))
        assert all(answer == answers[0] for answer in answers)

    def test_attach_says_what_to_mount(self, volume: AnyVolume, driver: AnyDriver) -> None:
        """The answer is a plain value that another node can read back, and names no /dev entry."""
        source = driver.attach(volume, driver.node_id())
        assert isinstance(source, Share | Device)
        assert from_json(to_json(source)) == source
        assert source.fstype.strip()
        assert isinstance(source.mount_options, tuple)
        assert all(isinstance(word, str) and word.strip() for word in source.mount_options)
        for text in _texts(source):
            assert not text.startswith("/dev/"), f"{text}: the kernel re-uses names of disks"

    def test_two_volumes_are_two_sources(self, make: Make, driver: AnyDriver) -> None:
        """No two volumes are given the same place."""
        one, two = (driver.attach(make(), driver.node_id()) for _ in range(2))
        assert one != two

    def test_detach_again_is_success(self, volume: AnyVolume, driver: AnyDriver) -> None:
        """Already detached, never attached or deleted: all the same."""
        node = driver.node_id()
        driver.detach(volume, node)
        driver.attach(volume, node)
        for _ in range(AGAIN):
            driver.detach(volume, node)
        driver.delete(volume)
        driver.detach(volume, node)

    def test_detached_volume_can_be_attached_again(
        self, volume: AnyVolume, driver: AnyDriver
    ) -> None:
        """Detach takes the access away, not the data, and the answer stays the same."""
        node = driver.node_id()
        before = driver.attach(volume, node)
        driver.detach(volume, node)
        assert driver.attach(volume, node) == before


def _changed(options: Any, field: "dataclasses.Field[Any]", text: str) -> Any:
    """Return the options with one of them read from a user's text, as `parse` reads it."""
    kind = typing.get_type_hints(type(options))[field.name]
    declared = dataclasses.field(metadata=field.metadata)
    one = dataclasses.make_dataclass("One", [(field.name, kind, declared)])
    value = getattr(parse(one, {field.name: text}, what="contract"), field.name)
    return dataclasses.replace(options, **{field.name: value})


def _texts(value: Any) -> Iterator[str]:
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _texts(getattr(value, field.name))
    elif isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
