"""What the operator decided: volplug.toml and the environment, read together and checked at once.

A managed plugin has no file of its own, only environment variables that `docker plugin set`
changes, and after an upgrade it lacks every variable that is new (docker-contract 5.2). So every
key has its default here, each has one name in the environment, and the environment wins.
"""

import difflib
import platform
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from volplug import crashpoint, guard_settings, options, store_settings
from volplug.errors import InvalidOptions
from volplug.guard_settings import GuardSettings
from volplug.options import option
from volplug.store_settings import StoreSettings
from volplug.volume import check_name

PREFIX = "VOLPLUG_"
FILE_VARIABLE = "VOLPLUG_CONFIG"
DEFAULT_FILE = Path("/etc/volplug/volplug.toml")
RESERVED = frozenset({FILE_VARIABLE, "VOLPLUG_LOAD_DRIVERS", crashpoint.VARIABLE})
"""Variables with our prefix that are not keys."""


Backends: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Each backend's keys by its name: `driver`, and that driver's Config, not yet read."""


def _default_backends() -> Backends:
    return {"local": {"driver": "local"}, "loop": {"driver": "loop"}}


@dataclass(frozen=True)
class Settings:
    """The keys at the top of volplug.toml. After construction `mount_dir` and `node` are set."""

    socket: Path = option(
        default=Path("/run/docker/plugins/volplug.sock"),
        help="unix socket to serve on; the Docker engine finds this one by itself",
    )
    state_dir: Path = option(
        default=Path("/var/lib/volplug"),
        help="catalog, leases, mount rows, and the data of local volumes; on a local disk",
    )
    mount_dir: Path = option(
        default=None,
        help="directory below which volumes are mounted; STATE_DIR/mounts by default",
    )
    node: str = option(
        default=None,
        check=lambda name: name.isprintable() and " " not in name and 0 < len(name) <= 128,
        want="1 to 128 printable characters without spaces",
        help="this machine's name in leases, never shared with another; its host name by default",
    )
    default_backend: str = option(
        default="local", help="backend of volumes that are created without -o backend=NAME"
    )
    managed: bool = option(
        default=False, help="whether Docker runs this as a managed plugin; its manifest says so"
    )
    boot_id_file: Path = option(
        default=Path("/proc/sys/kernel/random/boot_id"),
        help="file that reads differently after each boot of this machine",
    )
    hardware_id_file: Path = option(
        default=Path("/sys/class/dmi/id/product_uuid"),
        help="file that names this machine's hardware, and is on no disk that may be copied",
    )
    deadline_s: float = option(
        default=25.0,
        check=lambda seconds: 1 <= seconds <= 110,
        want="1 to 110 seconds, below the engine's own limit (30 after `docker plugin enable`)",
        help="seconds within which Create, Mount and Remove are answered",
    )
    wait_s: float = option(
        default=20.0,
        check=lambda seconds: 0 <= seconds < 110,
        want="0 to 110 seconds, and less than deadline_s",
        help="seconds that a Mount waits for another holder's release before it is refused",
    )
    grace_s: float = option(
        default=150.0,
        check=lambda seconds: 0 <= seconds <= 86400,
        want="0 to 86400 seconds",
        help="seconds before a mount row without any user counts as orphaned",
    )
    threads: int = option(
        default=128,
        check=lambda count: 8 <= count <= 4096,
        want="8 to 4096",
        help="requests that are served at the same time",
    )

    def __post_init__(self) -> None:
        """Settle the defaults that depend on other keys or on the machine."""
        if self.mount_dir is None:
            object.__setattr__(self, "mount_dir", self.state_dir / "mounts")
        if self.node is None:
            object.__setattr__(self, "node", platform.node())


@dataclass(frozen=True)
class Config(Settings):
    """Everything that the operator decided. Paths are absolute once `load` made it."""

    backends: Backends = field(default_factory=_default_backends)
    store: StoreSettings = field(default_factory=StoreSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)


_KEYS = tuple(one.name for one in fields(Settings))
_PARTS = {store_settings.TABLE: store_settings.KEYS, guard_settings.TABLE: guard_settings.KEYS}
"""The tables with keys of their own."""


def load(
    path: Path | None,
    environment: Mapping[str, str],
    defaults: Mapping[str, Any] | None = None,
    default_file: Path | None = DEFAULT_FILE,
) -> Config:
    """Read the file and the environment into one Config; nothing is kept, so repeating is free.

    The file is `path`, else the one named by VOLPLUG_CONFIG, else /etc/volplug/volplug.toml if it
    exists. `defaults` stand in for keys that neither sets. Raises InvalidOptions that names every
    problem at once, or file and line where TOML is broken.
    """
    named = path or (Path(environment[FILE_VARIABLE]) if environment.get(FILE_VARIABLE) else None)
    file = named or (default_file if default_file and default_file.exists() else None)
    document = _read(file) if file else {}
    problems: list[str] = []
    tables = _tables(document.pop("backends", {}), problems)
    parts = {part: _part(part, document.pop(part, {}), problems) for part in _PARTS}
    top = _known_keys(document, problems)
    _merge_environment(environment, top, tables, parts, problems)
    settings = _settings({**(defaults or {}), **top}, problems)
    store = store_settings.read(parts[store_settings.TABLE], Path.cwd(), problems)
    guard = guard_settings.read(parts[guard_settings.TABLE], Path.cwd(), problems)
    backends = tables or _default_backends()
    _check_backends(backends, problems)
    default = _default_backend(settings, backends, "default_backend" in top, problems)
    if problems:
        where = f"{file} and the environment" if file else "the environment"
        raise InvalidOptions(f"configuration ({where}): " + "; ".join(problems))
    kept = {name: getattr(settings, name) for name in _KEYS if name != "default_backend"}
    return Config(**kept, default_backend=default, backends=backends, store=store, guard=guard)


def variable(*key: str) -> str:
    """Return the environment variable of a key: `backends`, `gold`, `driver` for a nested one."""
    return PREFIX + "__".join(part.upper().replace("-", "_") for part in key)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidOptions(f"cannot read the configuration {file}: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError tells the line, UnicodeDecodeError the byte
        raise InvalidOptions(f"{file} is not valid TOML: {error}") from error


def _known_keys(document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Keep the keys that exist and hold plain values."""
    kept = {}
    for key, value in document.items():
        if key not in _KEYS:
            problems.append(_unknown(key, (*_KEYS, "backends", *_PARTS)))
        elif isinstance(value, dict | list):
            problems.append(f"option '{key}' wants one value, not a table or a list")
        else:
            kept[key] = value
    return kept


def _tables(found: Any, problems: list[str]) -> dict[str, dict[str, Any]]:
    """Return one table of keys per backend."""
    tables: dict[str, dict[str, Any]] = {}
    for name, table in found.items() if isinstance(found, dict) else [("", found)]:
        if isinstance(table, dict):
            tables[name] = dict(table)
        else:
            problems.append('a backend is written as a table: [backends.NAME] driver = "…"')
    return tables


def _part(name: str, found: Any, problems: list[str]) -> dict[str, Any]:
    """Return the keys of a table."""
    if isinstance(found, dict):
        return dict(found)
    problems.append(f"the {name} is written as a table: [{name}] {_PARTS[name][0]} = …")
    return {}


def _merge_environment(
    environment: Mapping[str, str],
    top: dict[str, Any],
    tables: dict[str, dict[str, Any]],
    parts: Mapping[str, dict[str, Any]],
    problems: list[str],
) -> None:
    """Lay every VOLPLUG_ variable over what the file says.

    An empty value counts as not set, for `docker plugin set` can empty a variable, not remove it.
    """
    for name in sorted(environment):
        value = environment[name]
        if not name.startswith(PREFIX) or name in RESERVED or not value:
            continue
        match name.removeprefix(PREFIX).lower().split("__"):
            case [key] if key in _KEYS:
                top[key] = value
            case [part, key] if key in _PARTS.get(part, ()):
                parts[part][key] = value
            case ["backends", backend, key] if backend and key:
                tables.setdefault(_named_in_file(backend, tables), {})[key] = value
            case _:
                nested = (variable(part, key) for part in _PARTS for key in _PARTS[part])
                known = (*map(variable, _KEYS), *nested, *sorted(RESERVED))
                problems.append(
                    _unknown(name, known, also=f"{PREFIX}BACKENDS__NAME__KEY", what="variable")
                )


def _named_in_file(upper: str, tables: Mapping[str, Any]) -> str:
    """Find the backend a variable means: the environment has neither case nor hyphens."""
    return next((name for name in tables if variable(name) == variable(upper)), upper)


def _settings(flat: Mapping[str, Any], problems: list[str]) -> Settings:
    try:
        settings = options.parse(Settings, flat, what="", base=Path.cwd())
    except InvalidOptions as error:
        problems.append(str(error).removeprefix(": "))
        return Settings()
    if settings.wait_s >= settings.deadline_s:
        problems.append(
            f"wait_s ({settings.wait_s:g}) must be less than deadline_s ({settings.deadline_s:g}): "
            "a refusal has to be sent before the time is up"
        )
    return settings


def _check_backends(tables: Backends, problems: list[str]) -> None:
    variables: dict[str, str] = {}
    for name, table in tables.items():
        problems.extend(_name_problems(name))
        twin = variables.setdefault(variable(name), name)
        if twin != name:
            problems.append(f"backends '{twin}' and '{name}' have one name in the environment")
        if not isinstance(table.get("driver"), str) or not table["driver"]:
            problems.append(f"backend '{name}' names no driver; `volplug drivers` lists them")


def _name_problems(name: str) -> Iterator[str]:
    try:
        check_name(name)
    except InvalidOptions as error:
        yield str(error).replace("volume name", "backend name", 1)
        return
    if "." in name:
        yield f"backend name {name!r} is not allowed: it has a dot"


def _default_backend(
    settings: Settings, backends: Backends, chosen: bool, problems: list[str]
) -> str:
    """Return the default backend; the only one there is needs no choosing."""
    wanted = settings.default_backend
    if not chosen and wanted not in backends and len(backends) == 1:
        return next(iter(backends))
    if wanted not in backends and not problems:
        known = ", ".join(sorted(backends))
        problems.append(f"default_backend is '{wanted}', which is not configured (known: {known})")
    return wanted


def _unknown(key: str, known: tuple[str, ...], *, also: str = "", what: str = "option") -> str:
    close = difflib.get_close_matches(key, known, n=1)
    suggestion = f", did you mean '{close[0]}'?" if close else ""
    return f"unknown {what} '{key}'{suggestion} (known: {', '.join((*known, also)).rstrip(', ')})"
