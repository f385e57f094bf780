"""The array over HTTPS, in a process of its own, with trouble on demand.

`python -m tests.netapp.server CERTIFICATE` prints its port. With the words ADDRESS PORT IQN it also
serves data at that address, from the machine that it runs on (served.py), and never ends. Requests
below /api need the password; those to /sim are the tests' own. Trouble is asked for by method (any
if empty) and path, for so many requests, after letting some through:

    busy   429 before anything is done         error    500 before anything is done
    gone   the connection breaks before        lost     the connection breaks after the work is done
    denied 403, for the account lacks a right  expired  401, though the password is right
    slow   the answer comes two seconds after the work is done
"""

import base64
import copy
import json
import re
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.netapp.ontap import Array
from tests.netapp.records import Json, RefusedError, lif
from tests.netapp.served import Served

_ALLOWED = "volplug:"
_REFUSALS = {"busy": 429, "denied": 403, "error": 500, "expired": 401}


class Server(ThreadingHTTPServer):
    """The array, its trouble, its password, and what was asked of it."""

    daemon_threads = True

    def __init__(self, address: str, port: int, served: Served | None) -> None:
        super().__init__((address, port), Conversation)
        self.lock = threading.Lock()
        self.served = served
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.array = self.kept = Array()
        if self.served:
            self.array.target = self.served.target
            address = self.server_address[0]
            self.array.interfaces = [lif(str(address), "n1", ["data_iscsi", "data_nfs"])]
        self.trouble: list[Json] = []
        self.password = "s3cret"  # noqa: S105  the simulator's own
        self.calls: list[str] = []

    def control(self, order: Json) -> Any:
        """Do what a test asks for, and answer it."""
        array, name = self.array, order.pop("do")
        orders: dict[str, Callable[..., Any]] = {
            "reset": self.reset,
            "keep": lambda: setattr(self, "kept", copy.deepcopy(array)),
            "restore": lambda: setattr(self, "array", copy.deepcopy(self.kept)),
            "trouble": lambda **one: self.trouble.append(one),
            "password": lambda word: setattr(self, "password", word),
            "calls": lambda: self.calls,
            # as an operator at the array would
            "call": lambda method, path, body=None: array.answer(method, path, body or {}, {})[1],
            "list": lambda what: list(getattr(array, what).values()),
            "value": lambda what: getattr(array, what),
            "counts": array.counts,
            "writers": array.writers,
            "may": array.may,
            "set": lambda what, value: setattr(array, what, value),
        }
        return orders[name](**order)

    def troubled(self, method: str, path: str) -> str:
        """Return the kind of trouble that this request meets, and count it."""
        for one in self.trouble:
            meant = one["method"] in ("", method) and re.search(one["path"], path)
            if meant and one["skip"]:
                one["skip"] -= 1
            elif meant and one["times"]:
                one["times"] -= 1
                return str(one["kind"])
        return ""


class Conversation(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer whatever the method is."""
        path = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or "{}")
        if path.path == "/sim":
            with self.server.lock:
                self._send(200, {"answer": self.server.control(body)})
            return
        self._api(path.path.removeprefix("/api"), body, dict(parse_qsl(path.query)))

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _api(self, path: str, body: Json, query: dict[str, str]) -> None:
        server = self.server
        told: Json = {}
        with server.lock:
            server.calls.append(f"{self.command} {path}")
            trouble = server.troubled(self.command, path)
            status = _REFUSALS.get(trouble, 0)
            if status:
                code = "6" if trouble == "denied" else ""
                told = {"error": {"code": code, "message": trouble}}
            elif trouble == "gone":
                self._break()
                return
            elif not self._known():
                status, told = 401, {"error": {"code": "6691623", "message": "not authorized"}}
            else:
                try:
                    status, told = server.array.answer(self.command, path, body, query)
                    told = json.loads(json.dumps(told))
                    if server.served and self.command != "GET":
                        server.served.follow(server.array)
                except RefusedError as error:
                    status, told = (
                        error.status,
                        {"error": {"code": error.code, "message": error.words}},
                    )
        if trouble == "lost":
            self._break()
            return
        if trouble == "slow":
            time.sleep(2)
        if rest := told.pop("_next", ""):
            told["_links"] = {"next": {"href": f"/api{path}?{rest}"}}
        self._send(status, told)

    def _known(self) -> bool:
        login = base64.b64encode(f"{_ALLOWED}{self.server.password}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {login}"

    def _break(self) -> None:
        self.close_connection = True

    def _send(self, status: int, body: Json) -> None:
        text = json.dumps(body).encode()
        # In one piece, or the kernel waits for an acknowledgement in between.
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n"
        if status == 429:
            head += "Retry-After: 0\r\n"
        self.wfile.write(head.encode() + f"Content-Length: {len(text)}\r\n\r\n".encode() + text)


def main() -> None:
    """Serve until standard input ends; if data is served as well, for ever."""
    certificate, *place = sys.argv[1:]
    if place:
        address, port, target = place
        server = Server(address, int(port), Served(target))
    else:
        server = Server("127.0.0.1", 0, None)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate)
    # A client that stands still in the midst of its greeting must not keep others waiting.
    server.socket = secure.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)  # noqa: T201  its caller waits for the port
    while place or sys.stdin.read():
        threading.Event().wait()


if __name__ == "__main__":
    main()
