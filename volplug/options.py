"""Flat strings into typed dataclasses, with every problem named at once.

`docker volume create -o size=10G` hands over text; volplug.toml hands over TOML values; both are
read by `parse`. Options are standard-library dataclasses, not a validation library's models,
because the SDK must not pin every driver author to one library's version.
"""

import dataclasses
import difflib
import enum
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from volplug.errors import InvalidOptions

T = TypeVar("T")

_SIZE = re.compile(r"(\d{1,18})(?:\.(\d{1,18}))?\s*([kmgtp]?)(?:i?b)?", re.IGNORECASE | re.ASCII)


class Size(int):
    """A number of bytes, written as `10G`, `10GiB`, `1.5T` or plain bytes.

    Every unit is a power of 1024, as in Docker, so that nobody gets less than was asked for.
    """

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Read a size; raise ValueError with what is wanted."""
        match = _SIZE.fullmatch(text.strip())
        if match is None:
            raise ValueError("wanted a size such as 500M, 10G or 1.5T")
        whole, part, unit = match.groups(default="")
        # Whole numbers only: a float cannot hold every number of bytes.
        digits = int(whole + part) * 1024 ** " kmgtp".index(unit.lower() or " ")
        return cls(digits // 10 ** len(part))

    def __str__(self) -> str:
        number, unit = float(self), 0
        while number >= 1024 and unit < 5:
            number, unit = number / 1024, unit + 1
        return f"{number:.4g} " + ("B", "KiB", "MiB", "GiB", "TiB", "PiB")[unit]


class Mode(int):
    """Permission bits of a directory, written in octal as in chmod: `0750`."""

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """Read octal permission bits; raise ValueError with what is wanted."""
        if not re.fullmatch(r"[0-7]{3,4}", text):
            raise ValueError("wanted octal permission bits such as 0750")
        return cls(text, 8)

    def __str__(self) -> str:
        return f"{int(self):04o}"


class Secret:
    """A value that is named by reference and can only be revealed, on purpose, by `reveal()`.

    `file:/run/secrets/key` or `env:NAME`. It never shows in str, repr, format or pickle, and it is
    read anew at each reveal, so a rotated secret needs no restart.
    """

    __slots__ = ("_reference",)

    def __init__(self, reference: str) -> None:
        scheme, _, place = reference.partition(":")
        if scheme not in ("file", "env") or not place:
            raise ValueError("wanted a reference: file:/path/to/secret or env:NAME, not the secret")
        self._reference = reference

    def reveal(self) -> str:
        """Return the secret; raise InvalidOptions if what it refers to is not there."""
        scheme, _, place = self._reference.partition(":")
        try:
            return os.environ[place] if scheme == "env" else Path(place).read_text().rstrip("\n")
        except (KeyError, OSError) as error:
            raise InvalidOptions(f"the secret {self._reference} cannot be read: {error}") from error
        except ValueError:  # which would carry the bytes that are no text
            raise InvalidOptions(f"the secret {self._reference} is not text") from None

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._reference == self._reference

    def __hash__(self) -> int:
        return hash(self._reference)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self  # so that dataclasses.asdict() works, and still shows nothing

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled")


def option(
    *,
    help: str,  # noqa: A002  the word authors know from argparse
    default: Any = MISSING,
    check: Callable[[Any], bool] | None = None,
    want: str = "",
) -> Any:
    """Declare one option of a Config or Options dataclass.

    `help` is one line for `volplug drivers NAME` and the docs. Without `default` the option is
    required. `check` sees the typed value; when it says no, the user reads `want`.
    """
    metadata = {"help": help, "check": check, "want": want}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class OptionHelp:
    """What is known of one option, for tables and documentation."""

    name: str
    type: str
    default: str
    required: bool
    help: str


def describe(declared: type) -> list[OptionHelp]:
    """List the options of a dataclass made with `option()`, in the order they were declared."""
    hints = typing.get_type_hints(declared)
    return [
        OptionHelp(
            name=field.name,
            type=_type_name(hints[field.name]),
            default="" if field.default in (MISSING, None) else _shown(field.default),
            required=field.default is MISSING,
            help=field.metadata["help"],
        )
        for field in dataclasses.fields(declared)
    ]


def parse(declared: type[T], flat: Mapping[str, Any], *, what: str, base: Path | None = None) -> T:
    """Read one dataclass out of a mapping; see `parse_together`."""
    [parsed] = parse_together((declared,), flat, what=what, base=base)
    return typing.cast("T", parsed)


def parse_together(
    declared: tuple[type, ...], flat: Mapping[str, Any], *, what: str, base: Path | None = None
) -> list[Any]:
    """Read several dataclasses out of one mapping, each taking its own keys.

    Relative paths are taken below `base`. Raises InvalidOptions that names every problem at once:
    unknown keys with a suggestion, missing ones, and values of the wrong kind with what was wanted.
    """
    known = [field.name for one in declared for field in dataclasses.fields(one)]
    problems = [_unknown(key, known) for key in flat if key not in known]
    parsed = []
    for one in declared:
        values = {}
        for name, value, problem in _values(one, flat, base):
            values[name] = value
            if problem:
                problems.append(problem)
        if not problems:
            parsed.append(one(**values))
    if problems:
        raise InvalidOptions(f"{what}: " + "; ".join(problems))
    return parsed


def _values(
    declared: type, flat: Mapping[str, Any], base: Path | None
) -> Iterator[tuple[str, Any, str]]:
    hints = typing.get_type_hints(declared)
    for field in dataclasses.fields(declared):
        if field.name not in flat:
            missing = field.default is MISSING
            problem = f"option '{field.name}' is missing: {field.metadata['help']}"
            yield field.name, _below(base, field.default), problem if missing else ""
            continue
        given = flat[field.name]
        # What stands where a reference to a secret belongs may be the secret.
        shown = "…" if mentions(hints[field.name], Secret) else repr(given)
        try:
            value = _read(hints[field.name], given, base)
        except ValueError as error:
            yield field.name, None, f"option '{field.name}' is {shown}: {error}"
            continue
        check = field.metadata["check"]
        problem = f"option '{field.name}' is {shown}: wanted {field.metadata['want']}"
        yield field.name, value, problem if check and not check(value) else ""


def mentions(kind: Any, wanted: type) -> bool:
    """Say whether a type is, or is made with, another one, such as `tuple[Secret, ...]`."""
    return kind is wanted or any(mentions(member, wanted) for member in typing.get_args(kind))


def _below(base: Path | None, default: Any) -> Any:
    """Take a default path, as a given one, below the base."""
    if base is None:
        return default
    if isinstance(default, tuple):
        return tuple(_below(base, item) for item in default)
    return base / default if isinstance(default, Path) else default


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    suggestion = f", did you mean '{close[0]}'?" if close else ""
    return f"unknown option {key!r}{suggestion} (known: {', '.join(sorted(known)) or 'none'})"


def _read(kind: Any, given: Any, base: Path | None) -> Any:
    """Turn text, or a TOML value, into the option's type; ValueError says what is wanted."""
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _read(next(m for m in members if m is not types.NoneType), given, base)
    if origin is tuple:
        items = given if isinstance(given, list) else _text(given).split(",")
        if items == [""]:
            return ()
        return tuple(_read(members[0], item, base) for item in items)
    if origin is typing.Literal:
        if given not in members:
            raise ValueError("wanted one of " + ", ".join(map(str, members)))
        return given
    return _read_plain(kind, _text(given), base)


def _text(given: Any) -> str:
    """Refuse what no path, no database and no kernel takes as text."""
    text = str(given)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("wanted text without NUL and broken characters")
    return text


def _read_plain(kind: Any, text: str, base: Path | None) -> Any:
    if kind is bool:
        return _read_bool(text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError("wanted a number") from None
    if kind is Path:
        if not text:
            raise ValueError("wanted a path")
        return (base or Path()) / text
    if isinstance(kind, type) and issubclass(kind, enum.Enum) and not hasattr(kind, "parse"):
        try:
            return kind(text)
        except ValueError:
            raise ValueError("wanted one of " + ", ".join(m.value for m in kind)) from None
    return kind.parse(text) if hasattr(kind, "parse") else kind(text)


def _read_bool(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("wanted true or false")


def _type_name(kind: Any) -> str:
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _type_name(next(m for m in members if m is not types.NoneType))
    if origin is tuple:
        return f"list of {_type_name(members[0])}"
    if origin is typing.Literal:
        return "|".join(map(str, members))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "|".join(str(member.value) for member in kind)
    names = {str: "text", int: "number", float: "number", bool: "true|false", Path: "path"}
    return names.get(kind) or str(kind.__name__).lower()


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
