"""The Flask application: HTTP on one side, calls on the other.

The engine takes any status but 200 for an error and shows the raw body of one that is not JSON
(docker-contract 1.4), so everything that goes wrong, here or in Flask, becomes a 200 with words in
`Err`, or a broken connection where words would do harm.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import flask
from werkzeug.exceptions import HTTPException

from volplug.deadline import deadline
from volplug.docker import wire
from volplug.docker.calls import Calls, Turns, Volumes
from volplug.docker.client import Client, HangUp
from volplug.docker.wire import Answer, Question
from volplug.errors import InvalidOptions, VolplugError, VolumeNotFound

SLOW_CALLS = 96
"""How many calls may wait for backends at once: well below the threads of server.py."""

_log = logging.getLogger(__name__)


def create_app(
    volumes: Volumes,
    *,
    deadline_s: float = 25.0,
    quick_s: float = 5.0,
    scope: str = "local",
    slow_calls: int = SLOW_CALLS,
) -> flask.Flask:
    """Build the front on some volumes.

    Create, Mount and Remove get `deadline_s`, the other calls `quick_s`. More than `slow_calls` of
    the former at a time are refused as Busy at once.
    """
    app = flask.Flask("volplug", static_folder=None)
    calls = Calls(volumes, Turns(slow_calls), undo_s=deadline_s, scope=scope)
    for call in (
        _Call(wire.ACTIVATE, calls.activate, quick_s),
        _Call(wire.CREATE, calls.create, deadline_s, names_a_volume=True),
        _Call(wire.REMOVE, calls.remove, deadline_s, names_a_volume=True),
        _Call(wire.MOUNT, calls.mount, deadline_s, names_a_volume=True),
        _Call(wire.UNMOUNT, calls.unmount, quick_s, names_a_volume=True),
        _Call(wire.PATH, calls.path, quick_s, names_a_volume=True),
        _Call(wire.GET, calls.get, quick_s, names_a_volume=True),
        _Call(wire.LIST, calls.list, quick_s),
        _Call(wire.CAPABILITIES, calls.capabilities, quick_s),
    ):
        app.add_url_rule(
            call.path, call.path, call, methods=["POST"], provide_automatic_options=False
        )
    app.register_error_handler(Exception, _answer_error)
    return app


@dataclass(frozen=True, slots=True)
class _Call:
    """One path of the protocol, as a Flask view."""

    path: str
    run: Callable[[Question, Client], Answer]
    limit_s: float
    names_a_volume: bool = False

    def __call__(self) -> flask.Response:
        """Answer the current request."""
        client = Client(flask.request.environ)
        try:
            body = client.body()
            if self.names_a_volume and not body.strip():
                self._refuse_retry()
            with deadline(self.limit_s):
                return _reply(self.run(wire.parse(body), client))
        except HangUp as reason:
            _log.warning("%s: no answer given, connection broken: %s", self.path, reason)
            client.hang_up()
            return flask.Response(status=503)  # reaches no one, unless there was no socket to break

    def _refuse_retry(self) -> None:
        """Refuse a call without a body: all that is left of one that the engine sends again.

        Of a Get it must not be told that the volume does not exist (moby#39331).
        """
        if self.path == wire.GET:
            raise HangUp("the request came without a body")
        raise InvalidOptions(
            "the request came without a body, as the engine's retries do after a broken "
            "connection; repeat the command"
        )


def _answer_error(error: Exception) -> flask.Response:
    """Put any error into words; log what an operator may want to know, once."""
    call = flask.request.path[:64]
    if isinstance(error, VolumeNotFound):
        pass  # engines probe for volumes all the time
    elif isinstance(error, VolplugError):
        _log.info("%s: %s: %s", call, type(error).__name__, error)
    elif isinstance(error, HTTPException):
        error = InvalidOptions(
            f"{flask.request.method} {call} is no call of this plugin ({error.name}): it answers "
            "POST to the paths of Docker's volume plugin protocol"
        )
    else:
        number = secrets.token_hex(4)
        _log.error("%s: internal error %s", call, number, exc_info=error)
        error = RuntimeError(f"internal error {number}: the plugin's log tells more")
    return _reply(wire.refused(error))


def _reply(answer: Answer) -> flask.Response:
    """Send an answer."""
    return flask.Response(wire.encode(answer), mimetype="application/json")
