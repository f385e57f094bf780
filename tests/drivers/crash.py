"""Dying at every step: a child process is killed before its k-th system call, for every k.

The calls that change the disk are wrapped where Python has them, in `os`, `fcntl` and the SDK's
`run`. SIGKILL leaves no chance to tidy up, as a power cut leaves none.
"""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CALLS = (
    "open", "write", "fsync", "mkdir", "symlink", "chmod", "rename", "link", "unlink", "ftruncate",
    "posix_fallocate", "close",
)  # fmt: skip
_MOST = 200


class Crash:
    """Counts system calls in the child, and kills it at the chosen one."""

    left: int | None = None
    armed_now = True

    @classmethod
    @contextmanager
    def armed(cls) -> Iterator[None]:
        """Count only the calls of this block, of all that the child does."""
        cls.armed_now = True
        yield
        cls.armed_now = False

    @classmethod
    def step(cls) -> None:
        """Die if it is time."""
        if cls.armed_now and cls.left is not None:
            if cls.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            cls.left -= 1


def survives_every_crash(
    tmp_path: Path, verb: Callable[[Path], Any], afterwards: Callable[[Path], None]
) -> None:
    """Kill `verb` at each of its steps, in a fresh directory each, and check what is left."""
    for step in range(_MOST):
        place = tmp_path / f"step-{step}"
        finished = _dies_at(step, verb, place)
        afterwards(place)
        if finished:
            assert step > 3, "the calls were not counted"
            return
    raise AssertionError(f"more than {_MOST} steps")


def _dies_at(step: int, verb: Callable[[Path], Any], place: Path) -> bool:
    """Run the verb in a child; say whether it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _wrap()
            Crash.left = step
            Crash.armed_now = "Crash" not in verb.__code__.co_names
            verb(place)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the verb failed"
    return not os.WIFSIGNALED(status)


def _wrap() -> None:
    for module, name in [*((os, call) for call in _CALLS), (fcntl, "ioctl")]:
        setattr(module, name, _stepping(getattr(module, name)))


def _stepping(call: Callable[..., Any]) -> Callable[..., Any]:
    def stepping(*arguments: Any, **named: Any) -> Any:
        Crash.step()
        return call(*arguments, **named)

    return stepping
