"""A door to one member of the cluster, which can swallow answers, hold them up, or stay shut.

What is held up arrives late rather than never, as on a network that is mended: so old copies of
requests come when nobody expects them any more.
"""

import contextlib
import random
import socket
import threading
from collections.abc import Callable

from tests.etcd.cluster import free_port

_CHUNK = 65536


class Line:
    """What passes a door: whoever is cut off hears nothing, and finds out by waiting only."""

    def __init__(self) -> None:
        self.requests = threading.Event()
        self.answers = threading.Event()
        self.mend()

    def cut(self) -> None:
        """Hold up everything. Repeating is success."""
        self.requests.clear()
        self.answers.clear()

    def mend(self) -> None:
        """Let everything pass, and what was held up first. Repeating is success."""
        self.requests.set()
        self.answers.set()


class Proxy:
    """Passes bytes on to a port; by chance an answer, or a request, is not passed on."""

    def __init__(
        self, target_port: int, seed: int, line_of: Callable[[int, int], Line] | None = None
    ) -> None:
        """`line_of` tells from the two ports of a connection on which line it is; else on ours."""
        self.line = Line()
        self._line_of = line_of or (lambda _, __: self.line)
        self.port = free_port()
        self.swallowed = 0
        self.lose_answers = 0.0
        self.lose_requests = 0.0
        self._target_port = target_port
        self._random = random.Random(seed)  # noqa: S311  chance, not a secret
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Shut the door; who is inside stays until it hangs up."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.line.mend()

    def _accept(self) -> None:
        while True:
            try:
                inside, caller = self._listener.accept()
            except OSError:
                return
            try:
                outside = socket.create_connection(("127.0.0.1", self._target_port), timeout=1)
            except OSError:
                inside.close()
                continue
            outside.settimeout(None)
            line = self._line_of(caller[1], self.port)
            for pair in (
                (inside, outside, line.requests, False),
                (outside, inside, line.answers, True),
            ):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, passing: threading.Event, answers: bool
    ) -> None:
        try:
            while content := source.recv(_CHUNK):
                chance = self.lose_answers if answers else self.lose_requests
                if chance and self._random.random() < chance:
                    self.swallowed += 1
                    break
                passing.wait()
                sink.sendall(content)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
