"""The configured drivers: `[backends.gold] driver = "ebs"`, each made once and kept.

A backend whose library is missing must not keep the others from being served, so its error is kept
too and raised when somebody uses it. A mistake in the configuration is refused at the start.
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from volplug.driver import Driver
from volplug.errors import InvalidOptions, VolplugError
from volplug.options import parse
from volplug.takeover import Takeover

AnyDriver: TypeAlias = Driver[Any, Any]

COMMON = frozenset({"driver", "takeover"})
"""The keys of a backend that volplug itself understands; the others are its driver's."""


class Backends:
    """The drivers by the names that users say in `-o backend=NAME`."""

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, Any]],
        *,
        default: str,
        load: Callable[[str], type[AnyDriver]],
        state_dir: Path,
    ) -> None:
        """Make every backend; `settings` holds each one's `driver` and that driver's Config keys.

        Raises InvalidOptions for settings that can never work.
        """
        self.default = default
        self._driver_names = {name: str(keys.get("driver")) for name, keys in settings.items()}
        self._takeovers = {name: _takeover(name, keys) for name, keys in settings.items()}
        self._made = {name: _make(name, keys, load, state_dir) for name, keys in settings.items()}
        if default not in self._made:
            raise InvalidOptions(
                f"default_backend is '{default}', which is not configured {self._known()}"
            )

    def names(self) -> list[str]:
        """Return the backends' names, sorted."""
        return sorted(self._made)

    def driver(self, name: str) -> AnyDriver:
        """Return a backend's driver; raise InvalidOptions if it is not configured here.

        Raises what its making raised, if it could not be made.
        """
        made = self._made.get(name)
        if made is None:
            close = difflib.get_close_matches(name, self._made, n=1)
            suggestion = f", did you mean '{close[0]}'?" if close else ""
            raise InvalidOptions(f"unknown backend '{name}'{suggestion} {self._known()}")
        if isinstance(made, VolplugError):
            raise made
        return made

    def takeover(self, name: str) -> Takeover:
        """Return what may happen by itself to a silent node's leases of a backend's volumes."""
        return self._takeovers.get(name, Takeover.FENCED)

    def driver_name(self, name: str) -> str | None:
        """Return the name of a backend's driver, whether it could be made or not."""
        return self._driver_names.get(name)

    def _known(self) -> str:
        return f"(configured: {', '.join(self.names()) or 'none'})"


def drivers_own(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a backend that are its driver's."""
    return {key: value for key, value in keys.items() if key not in COMMON}


def _takeover(name: str, keys: Mapping[str, Any]) -> Takeover:
    try:
        return Takeover(keys.get("takeover", Takeover.FENCED))
    except ValueError:
        wanted = ", ".join(Takeover)
        raise InvalidOptions(
            f"backend '{name}': takeover={keys['takeover']!r}: wanted one of {wanted}"
        ) from None


def _make(
    name: str,
    keys: Mapping[str, Any],
    load: Callable[[str], type[AnyDriver]],
    state_dir: Path,
) -> AnyDriver | VolplugError:
    what = f"backend '{name}'"
    if "driver" not in keys:
        raise InvalidOptions(f'{what} names no driver: add driver = "…" (`volplug drivers`)')
    rest = drivers_own(keys)
    try:
        driver = load(str(keys["driver"]))
        return driver(parse(driver.config_type, rest, what=what, base=state_dir))
    except InvalidOptions:
        raise
    except VolplugError as error:
        return error


def option_names(driver: type[AnyDriver]) -> set[str]:
    """Return the names of a driver's own volume options."""
    return {field.name for field in dataclasses.fields(driver.options_type)}
