"""What can be told of a driver without asking its backend: all of it stands in the class."""

import dataclasses
from typing import Any

from volplug import options, registry
from volplug.config import Config
from volplug.driver import Cloneable, Driver, Expandable, Fencing, Snapshottable
from volplug.errors import VolplugError
from volplug.request import CommonOptions

ABILITIES: dict[str, type] = {
    "expand": Expandable,
    "clone": Cloneable,
    "snapshot": Snapshottable,
    "fence": Fencing,
}


def summaries(config: Config) -> list[dict[str, Any]]:
    """Describe every installed driver, and every one that a backend names in vain."""
    named = {backend["driver"] for backend in config.backends.values()}
    return [summary(name, config) for name in sorted({*registry.names(), *named})]


def summary(name: str, config: Config) -> dict[str, Any]:
    """Describe one driver; one that cannot be loaded has its refusal as `problem`."""
    backends = sorted(own for own, backend in config.backends.items() if backend["driver"] == name)
    try:
        driver = registry.load(name)
    except VolplugError as error:
        return {"name": name, "backends": backends, "problem": str(error)}
    return {
        "name": name,
        "kind": kind(driver),
        "access": sorted(mode.value for mode in driver.access_modes),
        "abilities": [word for word, ability in ABILITIES.items() if issubclass(driver, ability)],
        "backends": backends,
    }


def details(name: str, config: Config) -> dict[str, Any]:
    """Describe one driver with its options; raise the refusal of one that cannot be loaded."""
    driver = registry.load(name)
    return {
        **summary(name, config),
        "needs": list(driver.needs),
        "options": _described(driver.options_type),
        "common": _described(CommonOptions),
        "config": _described(driver.config_type),
    }


def _described(declared: type) -> list[dict[str, Any]]:
    return [dataclasses.asdict(one) for one in options.describe(declared)]


def kind(driver: type[Driver[Any, Any]]) -> str:
    """Say whether volumes are directory trees, or disks that the host puts a file system on."""
    return "disk" if file_systems(driver) else "tree"


def file_systems(driver: type[Driver[Any, Any]]) -> list[str]:
    """List the file systems that a user can choose with `fstype`, the default one first."""
    for one in options.describe(driver.options_type):
        if one.name == "fstype":
            choices = one.type.split("|")
            return sorted(choices, key=lambda choice: choice != one.default)
    return []
