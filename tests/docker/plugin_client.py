"""The engine's side of the protocol, byte by byte: how each client really sends its requests."""

import json
import re
import select
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGINE_HEADERS = (  # Docker 20.10 and dvdcli: an empty Host, no Content-Type (docker-contract 1.3)
    "Host: \r\nUser-Agent: Go-http-client/1.1\r\n"
    "Accept: application/vnd.docker.plugins.v1.2+json\r\n"
)
ENGINE_28_HEADERS = ENGINE_HEADERS.replace("Host: ", "Host: plugin.moby.localhost")
PODMAN_HEADERS = (  # orchestrators 5
    "Host: plugin\r\nUser-Agent: Go-http-client/1.1\r\n"
    "Content-Type: application/vnd.docker.plugins.v1.1+json\r\nAccept-Encoding: gzip\r\n"
)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object in Go's sense: no NaN, no Infinity."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} in an answer")

        value = json.loads(self.body, parse_constant=refuse)
        assert isinstance(value, dict)
        return value


class Connection:
    """One connection to a plugin."""

    def __init__(self, path: Path, limit_s: float = 30.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(limit_s)
        self.socket.connect(str(path))

    def send(
        self,
        call: str,
        body: bytes = b"{}",
        *,
        headers: str = ENGINE_HEADERS,
        method: str = "POST",
    ) -> "Connection":
        """Send one request."""
        head = f"{method} {call} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)
        return self

    def reply(self) -> Reply | None:
        """Read to the end of the connection; None if it ended without an answer."""
        received = b""
        try:
            while chunk := self.socket.recv(1 << 16):
                received += chunk
        except ConnectionResetError:
            pass
        self.socket.close()
        if not received:
            return None
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(re.split(r":\s*", line.lower(), maxsplit=1) for line in lines)
        assert len(body) == int(headers["content-length"])
        return Reply(int(status.split()[1]), headers, body)

    def answered(self, within_s: float) -> bool:
        """Say whether something arrives in time."""
        return bool(select.select([self.socket], [], [], within_s)[0])


class PluginClient:
    """Asks a plugin over its socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def raw(self, call: str, body: bytes = b"{}", *, headers: str = ENGINE_HEADERS) -> Reply | None:
        """Send a body and return the reply, or None if the connection was broken instead."""
        return Connection(self.path).send(call, body, headers=headers).reply()

    def ask(self, call: str, **fields: object) -> dict[str, Any]:
        """Send a JSON object and return the one that must come back."""
        reply = self.raw(call, json.dumps(fields).encode() + b"\n")
        assert reply is not None
        assert reply.status == 200
        return reply.json
