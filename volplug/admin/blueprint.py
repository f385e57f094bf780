"""The operator calls as a Flask blueprint, which main.py registers on the Docker front's app.

Like Docker's calls they take the body as JSON whatever its Content-Type says, and answer 200 with
`Err` for a refusal.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from flask import Blueprint, Response, request

from volplug.admin import wire
from volplug.deadline import deadline
from volplug.errors import InvalidOptions, VolplugError
from volplug.event import Entry
from volplug.lease import Lease
from volplug.options import Size
from volplug.why import Answer

_log = logging.getLogger(__name__)


class Nodes(Protocol):
    """What an operator may ask about the nodes of a cluster."""

    def nodes(self) -> list[dict[str, Any]]:
        """Describe every node: how it stands, its guard, its quarantine, its leases."""
        ...

    def evict(self, name: str, *, by: str, reason: str) -> str:
        """Free all leases of a silent node on a person's word; return what was done."""
        ...

    def forget(self, name: str) -> str:
        """Forget a node that is silent and holds nothing; return what was done."""
        ...


class Service(Protocol):
    """What an operator may ask. Every verb answers from durable state and raises VolplugErrors."""

    @property
    def membership(self) -> Nodes:
        """The verbs about nodes."""
        ...

    def volumes(self) -> list[dict[str, Any]]:
        """Describe every volume: name, backend, driver, access, state, holder, users and more."""
        ...

    def inspect(self, name: str) -> dict[str, Any]:
        """Describe one volume with all that is known of it; raise VolumeNotFound."""
        ...

    def leases(self, name: str | None) -> list[Lease]:
        """List the leases of one volume, or all."""
        ...

    def why(self, name: str) -> Answer:
        """Say who holds a volume, what was tried, what happens next, and what to do now."""
        ...

    def journal(self, name: str | None, since: datetime | None) -> list[Entry]:
        """List what this node did with a volume, or with all, oldest first."""
        ...

    def expand(self, name: str, size: Size) -> None:
        """Make a volume at least that large, in use or not."""
        ...

    def release(self, name: str, *, by: str, reason: str) -> str:
        """Condemn the leases of a volume on a person's word; return what was done."""
        ...

    def snapshot(self, name: str, snapshot: str) -> dict[str, Any]:
        """Keep what a volume holds now under a name; tell what that is worth."""
        ...

    def snapshots(self, name: str) -> list[dict[str, Any]]:
        """List the snapshots of a volume."""
        ...

    def remove_snapshot(self, name: str, snapshot: str) -> None:
        """Delete a snapshot; one that is gone is success."""
        ...


def create_blueprint(service: Service, *, deadline_s: float = 25.0) -> Blueprint:
    """Make the blueprint; what changes something is given that long before it is refused."""
    blueprint = Blueprint("admin", __name__)

    @blueprint.before_request
    def read() -> None:
        """Read the body even where nothing is asked of it: closing on unread bytes is a reset."""
        request.get_data()

    @blueprint.post(wire.VOLUMES)
    def volumes() -> Response:
        return _reply({"Volumes": service.volumes()})

    @blueprint.post(wire.INSPECT)
    def inspect() -> Response:
        return _reply({"Volume": service.inspect(wire.text(_body(), "Name"))})

    @blueprint.post(wire.LEASES)
    def leases() -> Response:
        body = _body()
        name = wire.text(body, "Name") if body.get("Name") is not None else None
        return _reply({"Leases": [wire.from_lease(lease) for lease in service.leases(name)]})

    @blueprint.post(wire.EXPAND)
    def expand() -> Response:
        body = _body()
        name, size = wire.text(body, "Name"), wire.text(body, "Size")
        with deadline(deadline_s):
            service.expand(name, _size(size))
        return _reply({})

    @blueprint.post(wire.RELEASE)
    def release() -> Response:
        body = _body()
        name, by, reason = (wire.text(body, key) for key in ("Name", "By", "Reason"))
        with deadline(deadline_s):
            done = service.release(name, by=by, reason=reason)
        return _reply({"Done": done})

    _add_snapshots(blueprint, service, deadline_s)
    _explain(blueprint, service, deadline_s)

    _add_nodes(blueprint, service, deadline_s)

    @blueprint.errorhandler(VolplugError)
    def refused(error: VolplugError) -> Response:
        return _reply(wire.from_refusal(error))

    @blueprint.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        _log.error("operator call failed path=%s", request.path, exc_info=error)
        return _reply({"Err": "internal error; volplug's log has the traceback"})

    return blueprint


def _add_snapshots(blueprint: Blueprint, service: Service, deadline_s: float) -> None:
    @blueprint.post(wire.SNAPSHOT)
    def snapshot() -> Response:
        body = _body()
        with deadline(deadline_s):
            taken = service.snapshot(wire.text(body, "Name"), wire.text(body, "Snapshot"))
        return _reply({"Taken": taken})

    @blueprint.post(wire.SNAPSHOTS)
    def snapshots() -> Response:
        with deadline(deadline_s):
            return _reply({"Snapshots": service.snapshots(wire.text(_body(), "Name"))})

    @blueprint.post(wire.UNSNAPSHOT)
    def remove_snapshot() -> Response:
        body = _body()
        with deadline(deadline_s):
            service.remove_snapshot(wire.text(body, "Name"), wire.text(body, "Snapshot"))
        return _reply({})


def _explain(blueprint: Blueprint, service: Service, deadline_s: float) -> None:
    """Add the calls of whoever wants to know what happened."""

    @blueprint.post(wire.WHY)
    def why() -> Response:
        name = wire.text(_body(), "Name")
        with deadline(deadline_s):
            return _reply({"Why": service.why(name)})

    @blueprint.post(wire.JOURNAL)
    def journal() -> Response:
        body = _body()
        name = wire.text(body, "Name") if body.get("Name") is not None else None
        entries = service.journal(name, wire.moment(body, "Since"))
        return _reply({"Entries": [wire.from_entry(entry) for entry in entries]})


def _add_nodes(blueprint: Blueprint, service: Service, deadline_s: float) -> None:
    @blueprint.post(wire.NODES)
    def nodes() -> Response:
        return _reply({"Nodes": service.membership.nodes()})

    @blueprint.post(wire.EVICT)
    def evict() -> Response:
        body = _body()
        name, by, reason = (wire.text(body, key) for key in ("Node", "By", "Reason"))
        with deadline(deadline_s):
            return _reply({"Done": service.membership.evict(name, by=by, reason=reason)})

    @blueprint.post(wire.FORGET)
    def forget() -> Response:
        name = wire.text(_body(), "Node")
        with deadline(deadline_s):
            return _reply({"Done": service.membership.forget(name)})


def _size(text: str) -> Size:
    try:
        return Size.parse(text)
    except ValueError as error:
        raise InvalidOptions(f"size {text!r}: {error}") from error


def _body() -> dict[str, Any]:
    return wire.read_object(request.get_data())


def _reply(fields: Mapping[str, Any]) -> Response:
    return Response(wire.dump({"Err": "", **fields}), mimetype="application/json")
