"""The operator calls on one page, for the client and the server alike.

Shaped like Docker's calls, a POST whose JSON reply carries `Err`, so that one socket, one server
and one curl line serve both. A reply also names the class of a refusal, which Docker's cannot.
"""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from volplug.errors import InvalidOptions, Unavailable, VolplugError
from volplug.event import Entry
from volplug.lease import Lease, LeaseState
from volplug.volume import AccessMode

VOLUMES = "/Volplug.Volumes"  # {}                     -> {"Volumes": [{…}, …]}
INSPECT = "/Volplug.Inspect"  # {"Name"}               -> {"Volume": {…}}
LEASES = "/Volplug.Leases"  # {"Name"?}                -> {"Leases": [{…}, …]}
RELEASE = "/Volplug.Release"  # {"Name","Reason","By"} -> {"Done": "…"}
EXPAND = "/Volplug.Expand"  # {"Name","Size"}          -> {}
SNAPSHOT = "/Volplug.Snapshot"  # {"Name","Snapshot"}  -> {"Taken": {…}}
SNAPSHOTS = "/Volplug.Snapshots"  # {"Name"}           -> {"Snapshots": [{…}, …]}
UNSNAPSHOT = "/Volplug.RemoveSnapshot"  # {"Name","Snapshot"} -> {}
WHY = "/Volplug.Why"  # {"Name"}                       -> {"Why": {…}}
JOURNAL = "/Volplug.Journal"  # {"Name"?,"Since"?}     -> {"Entries": [{…}, …]}
NODES = "/Volplug.Nodes"  # {}                         -> {"Nodes": [{…}, …]}
EVICT = "/Volplug.Evict"  # {"Node","Reason","By"}     -> {"Done": "…"}
FORGET = "/Volplug.Forget"  # {"Node"}                 -> {"Done": "…"}
CREATE = "/VolumeDriver.Create"  # {"Name","Opts"}     -> {}, Docker's own
REMOVE = "/VolumeDriver.Remove"  # {"Name"}            -> {}, Docker's own

_CLASSES: list[type[VolplugError]] = [VolplugError, *VolplugError.__subclasses__()]
_KINDS = {kind.__name__: kind for kind in _CLASSES}


def dump(value: Any) -> str:
    """Write JSON; moments become RFC 3339 in UTC, paths and other words become text."""
    return json.dumps(value, default=_plain, ensure_ascii=False)


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object, `{}` from an empty body; raise InvalidOptions for anything else."""
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidOptions("the body is not JSON") from error
    if not isinstance(found, dict):
        raise InvalidOptions("the body is not a JSON object")
    return found


def text(body: Mapping[str, Any], key: str) -> str:
    """Return a non-empty text of a request; raise InvalidOptions if it is missing or not text."""
    value = body.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InvalidOptions(f"the request wants {key!r}, a text that is not empty")
    return value


def from_refusal(error: VolplugError) -> dict[str, str]:
    """Write a refusal as a reply."""
    return {"Err": str(error), "Kind": type(error).__name__}


def check(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a reply that is good; raise the refusal that it carries otherwise."""
    if reply.get("Err"):
        raise _KINDS.get(str(reply.get("Kind")), VolplugError)(str(reply["Err"]))
    return reply


def from_lease(lease: Lease) -> dict[str, Any]:
    """Write a lease."""
    return dataclasses.asdict(lease)


def from_entry(entry: Entry) -> dict[str, Any]:
    """Write an entry of the journal, with what it does not say left out."""
    return {key: value for key, value in dataclasses.asdict(entry).items() if value}


def moment(body: Mapping[str, Any], key: str) -> datetime | None:
    """Return a moment of a request, None if it has none; raise InvalidOptions for another text."""
    if body.get(key) is None:
        return None
    try:
        return datetime.fromisoformat(text(body, key)).astimezone(UTC)
    except ValueError as error:
        raise InvalidOptions(f"the request wants {key!r} as in 2026-01-31T12:00:00Z") from error


def to_lease(fields: Mapping[str, Any]) -> Lease:
    """Read a lease; raise Unavailable if the other side speaks of something else."""
    try:
        return Lease(
            volume=fields["volume"],
            node=fields["node"],
            access=AccessMode(fields["access"]),
            token=fields["token"],
            since=datetime.fromisoformat(fields["since"]),
            state=LeaseState(fields["state"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            "the running volplug describes a lease in a way that this command does not know: "
            "use the command of the same version"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not for the wire")
