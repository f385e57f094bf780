"""QEMU's machine protocol: power, pause, cables and disks of a running guest.

Answers and events come mixed on one socket, one JSON object a line. Events are thrown away: what
became of an order is asked for. The buffer is our own: a timeout on a socket's file object leaves
that object unusable. A test and the hypervisor's threads share the connection, one call at a time.
"""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

_ANSWER_S = 60.0


class QmpError(Exception):
    """QEMU refused a command; its class and words."""


class Qmp:
    """A connection to one QEMU."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._buffer = b""
        self._turn = threading.Lock()
        self._read(time.monotonic() + _ANSWER_S)  # the greeting
        self.call("qmp_capabilities")

    def call(self, command: str, **arguments: object) -> Any:
        """Run a command and return its answer; names with a dash are written with an underscore.

        Raises QmpError if QEMU refuses.
        """
        renamed = {name.replace("_", "-"): value for name, value in arguments.items()}
        request = {"execute": command, "arguments": renamed}
        with self._turn:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while True:
                message = self._read(time.monotonic() + _ANSWER_S)
                if "error" in message:
                    raise QmpError(f"{command}: {message['error']['desc']}")
                if "return" in message:
                    return message["return"]
                assert message, f"QEMU gave no answer to {command} in {_ANSWER_S} s"

    def close(self) -> None:
        """Let go of the connection; QEMU goes on."""
        self._socket.close()

    def _read(self, end: float) -> dict[str, Any]:
        """Return the next message; an empty one if none comes in time."""
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                received = self._socket.recv(65536)
            except TimeoutError:
                return {}
            if not received:
                raise QmpError("QEMU has ended")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message
