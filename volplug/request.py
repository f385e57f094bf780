"""What a user asks for when a volume is created: options for every backend, and a backend's own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from volplug.backends import AnyDriver, Backends, option_names
from volplug.catalog import Record
from volplug.driver import Cloneable, Snapshottable
from volplug.errors import InvalidOptions, Unsupported, VolumeExists
from volplug.options import Mode, option, parse_together
from volplug.volume import AccessMode, Owner, Volume, check_name


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """The volume options that volplug itself understands, on every backend."""

    backend: str | None = option(default=None, help="which configured backend keeps the volume")
    access: AccessMode = option(
        default=AccessMode.SINGLE_WRITER, help="who may use the volume at the same time"
    )
    uid: int | None = option(
        default=None,
        help="owner of the top directory, as a number",
        check=lambda uid: 0 <= uid < 2**32 - 1,
        want="a user id from 0 to 4294967294",
    )
    gid: int | None = option(
        default=None,
        help="group of the top directory, as a number",
        check=lambda gid: 0 <= gid < 2**32 - 1,
        want="a group id from 0 to 4294967294",
    )
    mode: Mode | None = option(default=None, help="permissions of the top directory, in octal")
    clone_of: str | None = option(
        default=None,
        help="whose data to start with: an unused volume of the same backend, or VOLUME@SNAPSHOT",
    )


def read(name: str, flat: Mapping[str, str], backends: Backends, now: datetime) -> Record:
    """Turn a Create into a record to be made.

    Raises InvalidOptions, naming every problem, and Unsupported if the backend lacks an ability.
    """
    check_name(name)
    backend = flat.get("backend", backends.default)
    driver = backends.driver(backend)
    what = f"volume '{name}'"
    common, _ = parse_together((CommonOptions, driver.options_type), flat, what=what)
    _check_abilities(what, backend, driver, common)
    own = option_names(type(driver))
    return Record(
        name=name,
        backend=backend,
        access=common.access,
        options={key: value for key, value in flat.items() if key in own},
        created_at=now,
        owner=Owner(common.uid, common.gid, common.mode),
        origin=common.clone_of or "",
    )


def volume(record: Record, driver: AnyDriver) -> Volume[Any]:
    """Return the volume of a record as its driver sees it."""
    [options] = parse_together(
        (driver.options_type,), record.options, what=f"volume '{record.name}'"
    )
    return Volume(record.name, record.backend, record.handle, record.access, options)


def origin(record: Record) -> tuple[str, str]:
    """Return the names of the volume and of its snapshot that a record is a copy of, or blanks."""
    name, _, snapshot = record.origin.partition("@")
    return name, snapshot


def check_same(existing: Record, wanted: Record, driver: AnyDriver) -> None:
    """Raise VolumeExists, showing the differences, unless both ask for the same volume."""
    pairs = {
        "backend": (existing.backend, wanted.backend),
        "access": (existing.access, wanted.access),
        "uid": (existing.owner.uid, wanted.owner.uid),
        "gid": (existing.owner.gid, wanted.owner.gid),
        "mode": (existing.owner.mode, wanted.owner.mode),
        "clone_of": (existing.origin, wanted.origin),
    }
    if existing.backend == wanted.backend:
        have, want = volume(existing, driver).options, volume(wanted, driver).options
        pairs |= {
            key: (getattr(have, key), getattr(want, key)) for key in option_names(type(driver))
        }
    differences = [
        f"{key}={_shown(have)} not {_shown(want)}"
        for key, (have, want) in pairs.items()
        if have != want
    ]
    if differences:
        raise VolumeExists(
            f"volume '{existing.name}' exists with other options: {', '.join(differences)};"
            " remove it first, or choose another name"
        )


def _shown(value: object) -> str:
    """Return an option's value as a user would read it."""
    return "(unset)" if value in (None, "") else str(value)


def resized(record: Record, size: int) -> Record:
    """Return the record with its size option set to that many bytes."""
    return replace(record, options={**record.options, "size": str(int(size))})


def _check_abilities(what: str, backend: str, driver: AnyDriver, common: CommonOptions) -> None:
    if common.access not in driver.access_modes:
        modes = ", ".join(sorted(driver.access_modes))
        raise InvalidOptions(
            f"{what}: backend '{backend}' cannot keep access={common.access} (it can: {modes})"
        )
    if common.clone_of is None:
        return
    name, at, snapshot = common.clone_of.partition("@")
    check_name(name)
    if not at and not isinstance(driver, Cloneable):
        raise Unsupported(f"{what}: backend '{backend}' cannot clone volumes")
    if at and not isinstance(driver, Snapshottable):
        raise Unsupported(f"{what}: backend '{backend}' cannot make snapshots")
    if at:
        check_name(snapshot, "snapshot")
