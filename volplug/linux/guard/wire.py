"""How the agent and its guard speak: one JSON object per packet, one answer to each question.

A unix socket of packets: no half messages, and the end of either process is seen at once. It lies
in a directory that is opened first, for the path of a socket may have 107 bytes only.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

Words: TypeAlias = dict[str, Any]

SOCKET, LOCK, TABLE, LOG = "guard.sock", "lock", "table", "log"

_LARGEST_BYTES = 1 << 20


def listen(directory: Path) -> socket.socket:
    """Listen in a directory, in place of whoever did before; raise OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (directory / SOCKET).unlink(missing_ok=True)
    with _short(directory) as path:
        listener.bind(path)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def connect(directory: Path, patience_s: float) -> socket.socket:
    """Connect to the guard in a directory, which may take that long to answer; raise OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(patience_s)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST_BYTES)
    try:
        with _short(directory) as path:
            connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def send(connection: socket.socket, words: Words) -> None:
    """Send one packet; raise OSError."""
    connection.sendall(json.dumps(words, separators=(",", ":")).encode())


def receive(connection: socket.socket) -> Words | None:
    """Receive one packet; None at the other side's end. Raises OSError, ValueError."""
    packet = connection.recv(_LARGEST_BYTES)
    return dict(json.loads(packet)) if packet else None


@contextmanager
def _short(directory: Path) -> Iterator[str]:
    opened = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}/{SOCKET}"
    finally:
        os.close(opened)
