"""The peer of one request: reading from it, hanging up on it, and seeing that it has left.

The protocol has no words for "ask me later": the engine keeps what it knows of a volume only if the
connection breaks (docker-contract 2.1). And a client whose own time ran out says nothing; it closes
its end, and no one will ever mention the mount ID again that we are about to answer (1.5).
"""

import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from volplug.docker import wire
from volplug.errors import InvalidOptions

_SKIP_BYTES = 16 << 20  # of a body that is too large, so that its sender gets to read our answer


class HangUp(Exception):
    """There is nothing true to answer; break the connection instead."""


class Client:
    """The other end of the connection that a WSGI request came on."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ
        self._socket: socket.socket | None = environ.get("gunicorn.socket")

    def body(self) -> bytes:
        """Read the whole body.

        Raises InvalidOptions if it is too large, and HangUp if the peer left, or stalled, half way.
        """
        try:
            body: bytes = self._environ["wsgi.input"].read(wire.BODY_MAX_BYTES + 1)
            if len(body) > wire.BODY_MAX_BYTES:
                self._skip()
        except Exception as error:  # whatever the server finds wrong with the body's framing
            raise HangUp(f"the body could not be read: {error}") from error
        if len(body) > wire.BODY_MAX_BYTES:
            raise InvalidOptions(
                f"the request's body is larger than {wire.BODY_MAX_BYTES} bytes; no call needs that"
            )
        if len(body) < int(self._environ.get("CONTENT_LENGTH") or 0):
            raise HangUp("the client left in the middle of its request")
        return body

    def _skip(self) -> None:
        """Read past the rest of a body that nobody wants, up to a limit."""
        skipped = 0
        while skipped < _SKIP_BYTES and (chunk := self._environ["wsgi.input"].read(1 << 16)):
            skipped += len(chunk)

    def hang_up(self) -> None:
        """Break the connection, so that nothing that is written afterwards reaches the peer."""
        if self._socket is not None:
            with suppress(OSError):  # it has hung up already
                self._socket.shutdown(socket.SHUT_RDWR)

    def check_present(self) -> None:
        """Raise HangUp if the peer closed its socket; one that only ended its sending is present.

        Of a unix socket the kernel tells the two apart: POLLHUP means closed in both directions.
        """
        if self._socket is None:
            return
        poll = select.poll()
        poll.register(self._socket, 0)
        if poll.poll(0):
            raise HangUp("the client left before its answer; what it asked for was undone")
