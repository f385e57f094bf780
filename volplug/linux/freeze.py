"""Holding a file system still, by a program that lets go when we die.

A frozen file system stays frozen when whoever froze it is gone, and then everything that writes to
it hangs for ever, sync(2) and the shutdown of the machine too. So a program of its own freezes:
it thaws when its time is up, or when its standard input ends, which a SIGKILL of ours does too. A
note on the disk lets the next volplug thaw where even that program was killed.

    python -m volplug.linux.freeze DIRECTORY SECONDS
"""

import fcntl
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from volplug.command import Resident
from volplug.errors import VolplugError
from volplug.host import Freeze

LONGEST_S = 20.0
"""How long writers may be kept waiting."""

_START_S = 10.0
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878  # linux/fs.h
_FROZEN, _THAWED, _LATE = b"frozen\n", b"thawed\n", b"late\n"


@contextmanager
def frozen(directory: Path, note: Path, longest_s: float = LONGEST_S) -> Iterator[Freeze]:
    """Hold the file system of a directory still in the block; the Freeze tells if that worked.

    The note is there as long as it may be frozen.
    """
    freeze = Freeze(trouble="its file system could not be held still")
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    try:
        with _program(directory, longest_s, freeze):
            yield freeze
    finally:
        thaw(directory)
        note.unlink(missing_ok=True)


def thaw(directory: Path) -> None:
    """Let go of what an earlier life of ours may have left frozen; not frozen is success."""
    with suppress(OSError):
        _order(directory, _FITHAW)


@contextmanager
def _program(directory: Path, longest_s: float, freeze: Freeze) -> Iterator[None]:
    argv = [sys.executable, "-I", "-m", __name__, str(directory), str(longest_s)]
    try:
        program = Resident(argv)
    except VolplugError as error:
        freeze.trouble += f": {error}"
        yield
        return
    said, held = _heard(program, _START_S), False
    try:
        yield
        held = said == _FROZEN
    finally:
        program.stdin.close()
        ended = _heard(program, _START_S) if said == _FROZEN else b""
        words = program.end(patience_s=1)
    freeze.held = held and ended == _THAWED
    if ended == _LATE:
        freeze.trouble = (
            f"writers may wait {longest_s:g} s at most, and the backend took longer than that"
        )
    elif not freeze.held:
        freeze.trouble += f": {words}"


def _heard(program: Resident, patience_s: float) -> bytes:
    """Return the next line that the program says in time, or nothing."""
    ready, _, _ = select.select([program.stdout], [], [], patience_s)
    return os.read(program.stdout.fileno(), 64) if ready else b""


def _order(directory: Path, order: int) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(file, order, 0)
    finally:
        os.close(file)


def _main(directory: Path, longest_s: float) -> None:
    """Freeze, tell so, and thaw at the end of input or of the time, whichever comes first."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.ioctl(file, _FIFREEZE, 0)
    try:
        with suppress(BrokenPipeError):
            os.write(1, _FROZEN)
        told, _, _ = select.select([0], [], [], longest_s)
    finally:
        fcntl.ioctl(file, _FITHAW, 0)
        os.close(file)  # or it could not be unmounted until the interpreter has ended
    with suppress(BrokenPipeError):
        os.write(1, _THAWED if told else _LATE)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), float(sys.argv[2]))
