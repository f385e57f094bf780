"""A line to the guard, which is started first where none is there."""

import socket
from collections.abc import Callable
from pathlib import Path

from volplug.deadline import shielded, wait_until
from volplug.errors import VolplugError
from volplug.linux.guard import wire

PATIENCE_S = 2.0
"""How long a guard that is there may take to answer."""

START_S = 20.0
"""How long one that has to be started may take to be there."""


def seek(directory: Path, start: Callable[[], None] | None) -> socket.socket:
    """Connect to the guard in a directory, after `start` where none answers; raise OSError.

    Without `start`, a guard that is not there is not waited for.
    """
    found: list[socket.socket] = []

    def answers() -> bool:
        try:
            found.append(wire.connect(directory, PATIENCE_S))
        except OSError:
            return False
        return True

    if not answers():
        if start is None:
            raise OSError("it is not there")
        try:
            with shielded(START_S):
                start()
                wait_until(answers, "the guard", poll_s=0.02)
        except VolplugError as error:
            raise OSError(str(error)) from error
    return found[0]
