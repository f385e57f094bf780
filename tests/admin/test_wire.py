"""The operator calls on the wire, as curl would speak them."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.admin.operator import PaperService, application, since
from volplug.admin import wire
from volplug.errors import HeldElsewhere, Unavailable, VolplugError
from volplug.lease import Lease, LeaseState
from volplug.volume import AccessMode


@pytest.fixture
def curl() -> FlaskClient:
    """Return a client of a volplug that has one volume."""
    service = PaperService()
    service.add("data")
    return application(service).test_client()


@pytest.mark.parametrize("kind", VolplugError.__subclasses__())
def test_refusals_keep_their_class(kind: type[VolplugError]) -> None:
    """A refusal crosses the wire with its sentence and its class."""
    with pytest.raises(kind, match=r"^why$"):
        wire.check(wire.from_refusal(kind("why")))


def test_refusal_without_class() -> None:
    """Docker's calls carry a sentence only, and it is still a refusal."""
    with pytest.raises(VolplugError, match=r"^why$"):
        wire.check({"Err": "why"})


def test_lease_round_trip() -> None:
    """A lease crosses the wire unchanged."""
    lease = Lease("data", "web1", AccessMode.SHARED, 3, since(), LeaseState.CONDEMNED)
    assert wire.to_lease(wire.read_object(wire.dump(wire.from_lease(lease)).encode())) == lease


def test_lease_of_another_version() -> None:
    """A lease in words of another version is refused, not guessed at."""
    with pytest.raises(Unavailable, match="same version"):
        wire.to_lease({"volume": "data", "state": "dreaming"})


def test_dump() -> None:
    """Moments are UTC with Z, paths are text, and what has no form is a bug that shows."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert wire.dump({"at": moment, "path": Path("/a"), "kinds": {"b", "a"}}) == (
        '{"at": "2026-01-02T03:04:05Z", "path": "/a", "kinds": ["a", "b"]}'
    )
    with pytest.raises(TypeError):
        wire.dump(object())


def test_curl(curl: FlaskClient) -> None:
    """No Content-Type is needed, and the reply carries an empty Err."""
    reply = curl.post(wire.VOLUMES, data=b"{}", content_type="")
    assert (reply.status_code, reply.get_json()["Err"]) == (200, "")
    assert [one["name"] for one in reply.get_json()["Volumes"]] == ["data"]


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (wire.INSPECT, b""),
        (wire.INSPECT, b"{"),
        (wire.INSPECT, b"[]"),
        (wire.INSPECT, b"\xff"),
        (wire.INSPECT, b"[" * 100_000),
        (wire.INSPECT, b'{"Name": 3}'),
        (wire.LEASES, b'{"Name": ""}'),
        (wire.EXPAND, b'{"Name": "data", "Size": "10X"}'),
        (wire.RELEASE, b'{"Name": "data", "By": "ada", "Reason": " "}'),
    ],
)
def test_hostile_bodies(call: str, body: bytes, curl: FlaskClient) -> None:
    """A body that makes no sense is refused as InvalidOptions, with 200 as every refusal."""
    reply = curl.post(call, data=body)
    assert (reply.status_code, reply.get_json()["Kind"]) == (200, "InvalidOptions")


def test_held_elsewhere_is_told_as_such() -> None:
    """The class of the refusal stands beside the sentence."""
    service = PaperService()
    service.held = [Lease("data", "w", AccessMode.SHARED, 1, since())]
    service.found = {"data": {}}
    reply = (
        application(service)
        .test_client()
        .post(wire.RELEASE, json={"Name": "data", "By": "ada", "Reason": "x"})
    )
    assert reply.get_json()["Kind"] == HeldElsewhere.__name__


@pytest.mark.parametrize("call", [wire.VOLUMES, wire.LEASES])
def test_bodies_are_read_to_their_end(call: str, curl: FlaskClient) -> None:
    """A body is read even if nothing is asked of it: closing on unread bytes breaks the client."""
    body = BytesIO(b'{"Other": 1}')
    environ = {"wsgi.input": body, "CONTENT_LENGTH": "12", "wsgi.input_terminated": False}
    assert curl.post(call, environ_overrides=environ).get_json()["Err"] == ""
    assert body.read() == b""
