"""A real etcd of one member, beside the guests in the lab's own network.

One member is all of a store that the guests can tell: what becomes of it when members fail is shown
elsewhere, on three of them.
"""

from tests.e2e.box import PATH, Box, poll
from tests.machine import need_program

_PORT = 2379
_SERVE_S = 60.0


class Etcd:
    """The member; `url` is where its clients find it."""

    def __init__(self, box: Box, address: str) -> None:
        program = need_program("etcd", "etcd-server")
        self.url = f"http://{address}:{_PORT}"
        self._box = box
        data = box.directory / "etcd"
        # fmt: off
        box.start("etcd", [
            str(program), "--name", "m0", "--data-dir", str(data), "--logger", "zap",
            "--listen-client-urls", f"{self.url},http://127.0.0.1:{_PORT}",
            "--advertise-client-urls", self.url,
        ], {"PATH": PATH, "GOMAXPROCS": "1"})
        # fmt: on
        poll(self._healthy, "etcd to serve", _SERVE_S)

    def _healthy(self) -> bool:
        ask = ["busybox", "wget", "-q", "-O", "-", f"{self.url}/health"]
        return '"health":"true"' in self._box.run(ask, {"PATH": PATH}).stdout
