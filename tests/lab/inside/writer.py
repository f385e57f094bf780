"""Writes numbered lines to a file as fast as each is safe: `writer.py FILE WORD`.

Prints `wrote N` once line N is on the server, and `failed N: ...` when it is not; then it opens the
file anew and tries again, for as long as it runs. Nothing but being refused keeps it from writing.
"""

import os
import sys
import time
from contextlib import suppress

_PAUSE_S = 0.05


def write(file: int, line: bytes) -> None:
    """Write a line and return when it is safe."""
    os.write(file, line)
    os.fsync(file)


def open_to_append(path: str) -> int:
    """Open the file for writing at its end."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


path, word = sys.argv[1:]
file, number = open_to_append(path), 0
while True:
    number += 1
    try:
        if file < 0:
            file = open_to_append(path)
        write(file, f"{word} {number}\n".encode())
    except OSError as error:
        print(f"failed {number}: {error}", flush=True)  # noqa: T201  that is what it is for
        if file >= 0:
            with suppress(OSError):
                os.close(file)
            file = -1
    else:
        print(f"wrote {number}", flush=True)  # noqa: T201  that is what it is for
    time.sleep(_PAUSE_S)
