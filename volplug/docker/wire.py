"""The Docker volume plugin protocol on one page: paths, questions and answers.

Three facts shape it. No client can be trusted to name its Content-Type or to send a body at all,
so bodies are bytes, read the way Go's decoder reads them. An answer with an empty `Err` is a
success whatever else is missing, and a Mount that succeeds without a Mountpoint hands the container
a directory of the engine itself (docker-contract 0.5). One malformed date or number in an answer
makes the engine forget the volume (2.1), so what cannot be shown is left out.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from volplug.errors import InvalidOptions
from volplug.listing import Listing

ACTIVATE = "/Plugin.Activate"
CREATE = "/VolumeDriver.Create"
REMOVE = "/VolumeDriver.Remove"
MOUNT = "/VolumeDriver.Mount"
UNMOUNT = "/VolumeDriver.Unmount"
PATH = "/VolumeDriver.Path"
GET = "/VolumeDriver.Get"
LIST = "/VolumeDriver.List"
CAPABILITIES = "/VolumeDriver.Capabilities"

BODY_MAX_BYTES = 1 << 20
MOUNT_ID_MAX_CHARS = 256

Answer: TypeAlias = dict[str, object]
Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Question:
    """The body of a call; what was absent or null is empty, as in Go."""

    name: str = ""
    mount_id: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def parse(body: bytes) -> Question:
    """Read a body; no body is an empty question. Raises InvalidOptions if it is not one of ours."""
    if not body.strip():
        return Question()
    fields = _object(body)
    return Question(
        name=_text(fields.get("name"), "Name"),
        mount_id=_text(fields.get("id"), "ID"),
        options=_options(fields.get("opts")),
    )


def check_mount_id(mount_id: str) -> str:
    """Return an ID that may be stored; raise InvalidOptions otherwise. Empty is one: dvdcli's."""
    if len(mount_id) > MOUNT_ID_MAX_CHARS or not mount_id.isprintable():
        raise InvalidOptions(
            f"mount ID {mount_id[:20]!r} is not allowed: use up to {MOUNT_ID_MAX_CHARS} printable "
            "characters"
        )
    return mount_id


def _object(body: bytes) -> dict[str, object]:
    """Decode a JSON object with its keys in lower case, for Go ignores their case."""
    try:
        found = json.loads(body.decode(errors="replace"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidOptions(
            f"the request's body is not JSON that can be read ({type(error).__name__}); "
            'send an object such as {"Name": "data"}'
        ) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidOptions(
            f'the request\'s body is a JSON {_kind(found)}; send an object such as {{"Name": "v"}}'
        )
    return {key.lower(): value for key, value in found.items()}


def _refuse_constant(name: str) -> float:
    """Refuse NaN and Infinity, which Python reads though JSON has no such words."""
    raise ValueError(f"{name} is not JSON")


def _text(value: object, what: str) -> str:
    """Return a string that any store can hold; halves of surrogate pairs become U+FFFD, as in Go.

    Raises InvalidOptions for what is not a string.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidOptions(f"{what} must be a string, and is a JSON {_kind(value)}")
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _options(value: object) -> dict[str, str]:
    """Return the volume options; raise InvalidOptions naming the first that is not text."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidOptions(f"Opts must be an object of strings, and is a JSON {_kind(value)}")
    options = {
        _text(key, "an option's name"): _text(text, f"option {key!r}")
        for key, text in value.items()
    }
    for key, text in options.items():
        if "\0" in key or "\0" in text:
            raise InvalidOptions(f"option {key!r} holds a NUL character, which no option may")
    return options


def _kind(value: object) -> str:
    """Name a value's kind in JSON's words."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def activated() -> Answer:
    """Say what this plugin is."""
    return {"Implements": ["VolumeDriver"]}


def done() -> Answer:
    """Say that it is done."""
    return {"Err": ""}


def refused(error: Exception) -> Answer:
    """Say why not; never with an empty Err, which would mean success."""
    sentence = str(error)
    return {"Err": sentence if sentence.strip() else type(error).__name__}


def capabilities(scope: str) -> Answer:
    """Say how far a volume reaches; the engine only displays it (docker-contract 2.1)."""
    return {"Capabilities": {"Scope": scope}}


def mounted(directory: Path) -> Answer:
    """Hand out a directory; every successful Mount passes here.

    Raises ValueError unless it is an absolute path, in its plainest spelling, and not the root.
    """
    text = str(directory)
    if not directory.is_absolute() or ".." in directory.parts or "\0" in text:
        raise ValueError(f"mountpoint {text!r} is not a plain absolute path")
    if directory == Path(directory.anchor):
        raise ValueError("the root directory cannot be a mountpoint")
    return {"Mountpoint": text, "Err": ""}


def path(listing: Listing) -> Answer:
    """Say where a volume is mounted, if it is."""
    return {"Mountpoint": str(listing.mountpoint or ""), "Err": ""}


def volume(name: str, listing: Listing) -> Answer:
    """Describe a volume under exactly the name that was asked for (docker-contract 2.1)."""
    return {"Volume": {**_described(listing), "Name": name}, "Err": ""}


def volumes(listings: Iterable[Listing]) -> Answer:
    """Describe all volumes; none is left out, for Podman drops what a List lacks."""
    return {"Volumes": [_described(listing) for listing in listings], "Err": ""}


def _described(listing: Listing) -> dict[str, object]:
    """Describe one volume by what can be shown of it."""
    shown: dict[str, object] = {"Name": listing.name}
    if listing.mountpoint is not None:
        shown["Mountpoint"] = str(listing.mountpoint)
    instant = _instant(listing.created_at)
    if instant is not None:
        shown["CreatedAt"] = instant
    shown["Status"] = {str(key): _scalar(value) for key, value in listing.status.items()}
    return shown


def _instant(moment: datetime) -> str | None:
    """Write a moment as RFC 3339 in UTC; None if it lacks its zone or lies outside the calendar."""
    if moment.tzinfo is None:
        return None
    try:
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        return None


def _scalar(value: Scalar) -> Scalar:
    """Return what JSON can say: a number that is none, or a stray type, becomes its text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def encode(answer: Answer) -> bytes:
    """Write an answer as JSON."""
    return json.dumps(answer, allow_nan=False).encode()
