"""Finding drivers: an installed distribution names its drivers as entry points.

The drivers that come with volplug are found in no other way, so that a stranger's is never second
class. Nothing is imported until it is asked for by name: a vendor's library can take seconds and
tens of megabytes, and a broken one must harm nobody who does not use it. Two distributions may
claim one name, and Python lists both in an order that nobody chose: that is refused.
"""

import difflib
import importlib.metadata
import inspect
import os
from importlib.metadata import EntryPoint
from typing import Any

from volplug.driver import Driver
from volplug.errors import InvalidOptions, Unsupported

GROUP = "volplug.drivers"
ONLY = "VOLPLUG_LOAD_DRIVERS"
"""Names the only drivers that are loaded, with commas: to find the one that does the harm."""


def names() -> list[str]:
    """List the drivers that are installed, sorted, without importing any."""
    return sorted({entry.name for entry in _entries()})


def load(name: str) -> type[Driver[Any, Any]]:
    """Import a driver and return its class.

    Raises InvalidOptions for a name that no distribution, or more than one, claims; Unsupported,
    with the way out, for a driver that cannot be imported or is not a whole driver.
    """
    entry = _entry(name)
    driver = _import(entry)
    if not (isinstance(driver, type) and issubclass(driver, Driver)):
        raise Unsupported(f"driver '{name}' of {_owner(entry)}: {entry.value} is no Driver class")
    if inspect.isabstract(driver):
        missing = ", ".join(sorted(driver.__abstractmethods__))
        raise Unsupported(f"driver '{name}' of {_owner(entry)} is not finished: it lacks {missing}")
    return driver


def _entries() -> list[EntryPoint]:
    entries = importlib.metadata.entry_points(group=GROUP)
    only = os.environ.get(ONLY)
    if only is None:
        return list(entries)
    allowed = {name.strip() for name in only.split(",")}
    return [entry for entry in entries if entry.name in allowed]


def _entry(name: str) -> EntryPoint:
    found = {(_owner(entry), entry.value): entry for entry in _entries() if entry.name == name}
    if len(found) > 1:
        owners = " and ".join(sorted(f"{owner} ({value})" for owner, value in found))
        raise InvalidOptions(f"driver '{name}' is claimed by {owners}: uninstall all but one")
    if not found:
        raise InvalidOptions(_unknown(name))
    return next(iter(found.values()))


def _unknown(name: str) -> str:
    known = names()
    close = difflib.get_close_matches(name, known, n=1)
    suggestion = f", did you mean '{close[0]}'?" if close else ""
    limited = f"; {ONLY}={os.environ[ONLY]} hides all others" if ONLY in os.environ else ""
    return f"unknown driver {name!r}{suggestion} (known: {', '.join(known) or 'none'}{limited})"


def _import(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        raise Unsupported(
            f"driver '{entry.name}' needs the Python module '{error.name}', which is not"
            f" installed: {_cure(entry)}"
        ) from error
    except Exception as error:  # whatever a stranger's module does when it is imported
        raise Unsupported(
            f"driver '{entry.name}' of {_owner(entry)} cannot be loaded:"
            f" {type(error).__name__}: {error}"
        ) from error


def _cure(entry: EntryPoint) -> str:
    """Name the extra that brings a driver's libraries.

    It is called as the driver is, or as the first word of it: `netapp-san` needs `netapp`.
    """
    owner = _owner(entry)
    extras = entry.dist.metadata.get_all("Provides-Extra") or [] if entry.dist else []
    for extra in (entry.name, entry.name.partition("-")[0]):
        if extra in extras:
            return f"pip install '{owner}[{extra}]'"
    return f"pip install --force-reinstall {owner}"


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"
