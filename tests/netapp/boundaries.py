"""Dying at every boundary of the API: a child is killed before its k-th request, for every k.

To the array that is the same as dying after the request before, with its work done and its answer
lost; after the last request the child ends.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from requests import Session

_MOST = 200


def dies_at(step: int, verb: Callable[[], Any]) -> bool:
    """Run a verb in a child that is killed before a request; say whether it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _arm(step)
            verb()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the verb failed"
    return not os.WIFSIGNALED(status)


def every_boundary(
    verb: Callable[[], Any], before: Callable[[], None], afterwards: Callable[[], None]
) -> int:
    """Kill the verb at each boundary, each time from the start; return how many there are."""
    for step in range(_MOST):
        before()
        finished = dies_at(step, verb)
        afterwards()
        if finished:
            return step
    raise AssertionError(f"more than {_MOST} boundaries")


def _arm(step: int) -> None:
    left = [step]
    name = "request"
    real = getattr(Session, name)

    def request(*arguments: Any, **named: Any) -> Any:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return real(*arguments, **named)

    setattr(Session, name, request)
