"""The strict EC2 as a program: moto's server with stricter volumes, faults, and a metadata service.

Faults are set over HTTP for the next calls of an action: `throttle`, `broken` (5xx, nothing done),
`lost` (done, and the connection dies), `late` (done, and answered too late), `expired` (a session).
Every call is noted, so that a test can count what a driver asked for. What a test is told is the
truth: no lag applies to it.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from moto.ec2.models.instances import Instance
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.ebs.hypervisor import Hypervisor
from tests.ebs.strict_ec2 import StrictEbs

_ACTIONS = (
    "create_volume", "copy_volumes", "delete_volume", "attach_volume", "detach_volume",
    "modify_volume", "describe_volumes", "describe_volumes_modifications", "create_snapshot",
    "describe_snapshots", "delete_snapshot",
)  # fmt: skip
_CODES = {"throttle": ("RequestLimitExceeded", 503), "broken": ("InternalError", 500),
          "expired": ("RequestExpired", 400), "denied": ("UnauthorizedOperation", 403)}  # fmt: skip
_LATE_S = 2.0


def overlay(ebs: StrictEbs) -> None:
    """Put the strict volumes over moto's, and let instances take a moment to stop."""
    for action in _ACTIONS:
        strict = getattr(ebs, action)
        setattr(ElasticBlockStore, action, lambda response, strict=strict: strict(response))
    stop, terminate = Instance.stop, Instance.terminate

    def stopping(instance: Instance) -> Any:
        before = stop(instance)
        ebs.powered_off(instance.id, for_good=False)
        instance._state.name, instance._state.code = "stopping", 64

        def over() -> None:
            instance._state.name, instance._state.code = "stopped", 80

        threading.Timer(ebs.knobs.stop_s, over).start()
        return before

    def terminating(instance: Instance) -> Any:
        ebs.powered_off(instance.id, for_good=True)
        return terminate(instance)

    vars_of: Any = Instance
    vars_of.stop, vars_of.terminate = stopping, terminating


class Front:
    """What stands before moto: the test's own wishes, the metadata service, faults."""

    def __init__(self, ebs: StrictEbs, cloud: Callable[..., Iterable[bytes]]) -> None:
        self._ebs = ebs
        self._cloud = cloud
        self._guard = threading.Lock()
        self._faults: list[dict[str, Any]] = []
        self._calls: list[list[str]] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        if request.path.startswith("/strict/"):
            return self._own(request)(environ, start)
        if request.path.startswith("/latest/"):
            return self._metadata(request)(environ, start)
        body = request.get_data()
        environ["wsgi.input"] = BytesIO(body)  # for moto to read again
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        action = form.get("Action", "")
        fault = self._note(action, form)
        if fault in _CODES:
            return _error(*_CODES[fault])(environ, start)
        if not fault:
            return self._cloud(environ, start)
        list(self._cloud(environ, lambda *_: None))
        if fault == "late":
            time.sleep(_LATE_S)
        environ["werkzeug.socket"].shutdown(2)
        return []

    def _note(self, action: str, form: dict[str, str]) -> str:
        with self._guard:
            subject = form.get("VolumeId") or form.get("VolumeId.1") or form.get("ClientToken", "")
            self._calls.append([action, subject])
            for fault in self._faults:
                if fault["action"] in (action, "*") and fault["times"] > 0:
                    fault["times"] -= 1
                    return str(fault["kind"])
        return ""

    def _own(self, request: Request) -> Response:
        with self._guard:
            wish: Any = request.get_json() if request.method == "POST" else None
            if request.path == "/strict/knobs":
                for key, value in (wish or {}).items():
                    setattr(self._ebs.knobs, key, value)
                return _json(asdict(self._ebs.knobs))
            if request.path == "/strict/faults":
                self._faults = wish
            if request.path == "/strict/calls":
                calls, self._calls = self._calls, []
                return _json(calls)
            if request.path == "/strict/snapshots":
                return _json([[one.volume, one.tags] for one in self._ebs.shots.values()])
            return _json([self._truth(disk) for disk in self._ebs.present()])

    def _truth(self, disk: Any) -> dict[str, Any]:
        return {
            "id": disk.id,
            "name": disk.tags.get("volplug:name", ""),
            "cluster": disk.tags.get("volplug:cluster", ""),
            "deleting": disk.deleted_s is not None,
            "changes": len(disk.changes),
            "size": disk.size,
            "tags": disk.tags,
            "parameters": disk.parameters,
            "holders": sorted(self._ebs.attachments.live(disk)),
        }

    def _metadata(self, request: Request) -> Response:
        if request.path == "/latest/api/token":
            ttl = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "0")
            good = request.method == "PUT" and 1 <= int(ttl) <= 21600
            return Response("token-of-imds" if good else "", 200 if good else 400)
        if request.headers.get("X-aws-ec2-metadata-token") != "token-of-imds":
            return Response("", HTTPStatus.UNAUTHORIZED)
        knobs = self._ebs.knobs
        instance = knobs.instances.get(request.remote_addr or "", knobs.instance)
        if not instance:
            return Response("", HTTPStatus.NOT_FOUND)
        return _json(
            {
                "instanceId": instance,
                "instanceType": "m5.large",
                "region": "us-east-1",
                "availabilityZone": "us-east-1a",
                "billingProducts": None,
            }
        )


def _json(value: Any) -> Response:
    return Response(json.dumps(value), mimetype="application/json")


def _error(code: str, status: int) -> Response:
    words = f"<Code>{code}</Code><Message>as the test wanted</Message>"
    body = f"<Response><Errors><Error>{words}</Error></Errors><RequestID>r</RequestID></Response>"
    return Response(body, status, mimetype="text/xml")


class Quiet(WSGIRequestHandler):
    """Serves without a line for each request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client's acknowledgement

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  werkzeug's word
        """Say nothing."""


def main() -> None:
    """Serve at the port that is named, and at a door that was inherited, until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--door", type=int)
    parser.add_argument("--hypervisor", type=Path)
    said = parser.parse_args()
    ebs = StrictEbs(Hypervisor(said.hypervisor))
    overlay(ebs)
    front = Front(ebs, DomainDispatcherApplication(create_backend_app))
    if said.door is not None:
        door = make_server("", 0, front, threaded=True, request_handler=Quiet, fd=said.door)
        threading.Thread(target=door.serve_forever, daemon=True).start()
    make_server("127.0.0.1", said.port, front, threaded=True, request_handler=Quiet).serve_forever()


if __name__ == "__main__":
    main()
