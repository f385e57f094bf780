"""A driver class that could not work is refused when it is defined, with its author's sentence."""

import dataclasses
import platform
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest

from volplug.driver import Driver
from volplug.options import Secret, Size, option
from volplug.source import Share
from volplug.volume import AccessMode, Volume

Config = TypeVar("Config")


@dataclass(frozen=True)
class Nothing:
    """No options at all."""


class Plain(Driver[Nothing, Nothing]):
    """As little as a driver can be."""

    access_modes = frozenset({AccessMode.SHARED})

    def create(self, name: str, options: Nothing) -> str:
        """Return the name."""
        return f"{name}{options and ''}"

    def delete(self, volume: Volume[Nothing]) -> None:
        """Forget nothing."""

    def attach(self, volume: Volume[Nothing], node_id: str) -> Share:
        """Name a place."""
        return Share("nfs", f"{node_id}:/{volume.handle}")


def _define(config: Any, options: Any, **members: Any) -> type:
    members.setdefault("access_modes", frozenset({AccessMode.SHARED}))
    namespace: dict[str, Any] = {"__orig_bases__": (Driver[config, options],), **members}
    return type("Faulty", (Driver,), namespace)


def test_driver_knows_its_dataclasses() -> None:
    """They are named once, in the class line."""
    assert (Plain.config_type, Plain.options_type) == (Nothing, Nothing)


def test_four_verbs_are_enough() -> None:
    """Detach does nothing and node_id is the host's name, unless a driver says otherwise."""
    driver = Plain(Nothing())
    volume = Volume("v", "b", "h", AccessMode.SHARED, Nothing())
    driver.detach(volume, "n")
    assert driver.node_id() == platform.node()
    assert driver.config == Nothing()


def test_driver_can_be_derived_from_a_driver() -> None:
    """A variant keeps the dataclasses of what it varies."""

    class Variant(Plain):
        pass

    assert Variant.options_type is Nothing


def test_generic_driver_is_finished_later() -> None:
    """A class that leaves its dataclasses open is no driver yet, and no mistake."""

    class Unfinished(Driver[Config, Nothing], Generic[Config]):
        access_modes = frozenset({AccessMode.SHARED})

    assert not hasattr(Unfinished, "config_type")


def test_driver_without_dataclasses_is_refused() -> None:
    """A forgotten [Config, Options] is found at once."""
    with pytest.raises(TypeError, match=r"Bare must name its dataclasses: Driver\[Config, Opt"):

        class Bare(Driver):  # type: ignore[type-arg]  # the fault
            pass


def test_driver_without_access_modes_is_refused() -> None:
    """What a storage can keep is its driver's to say."""
    forgotten: list[Any] = [None, frozenset()]
    for modes in forgotten:
        with pytest.raises(TypeError, match="Faulty must name its access_modes"):
            _define(Nothing, Nothing, access_modes=modes)


def test_options_that_are_no_frozen_dataclass_are_refused() -> None:
    """Options are values: they are compared, stored and shared between threads."""
    thawed = dataclasses.make_dataclass("Thawed", [])
    for kind in (dict, thawed, dict[str, str], str):
        with pytest.raises(TypeError, match="must be a frozen dataclass"):
            _define(Nothing, kind)
        with pytest.raises(TypeError, match="must be a frozen dataclass"):
            _define(kind, Nothing)


def test_field_without_help_is_refused() -> None:
    """There is no other documentation of an option."""

    @dataclass(frozen=True)
    class Silent:
        size: Size = Size(1)  # noqa: RUF009  a value, and immutable

    with pytest.raises(TypeError, match=r"Faulty: Silent.size is not made with option\(\)"):
        _define(Nothing, Silent)


@pytest.mark.parametrize("kind", [Secret, Secret | None, tuple[Secret, ...] | None])
def test_secret_among_the_options_is_refused(kind: Any) -> None:
    """`docker volume inspect` prints options, so a secret belongs in the Config."""
    field = ("password", kind, option(help="x", default=None))
    options = dataclasses.make_dataclass("Loose", [field], frozen=True)
    with pytest.raises(TypeError, match=r"Loose.password is a Secret.*put it in the Config"):
        _define(Nothing, options)
    assert _define(options, Nothing)
