"""Whether what was answered can have happened one after the other: the slow check, of few at once.

Wing and Gong's search with Lowe's memory: any operation that was asked for before another one of
those left was answered may be the next. It knows nothing of tokens but that they grow, so it finds
what the fast check of history.py could be wrong about; it grows with all orders there are, hence
the window (leases.md 3.4).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.etcd.history import Tenure

WINDOW = 6
"""How many tenures are looked at at once: each is a grant and a release, and twelve are enough."""


@dataclass(frozen=True)
class _Operation:
    tenure: Tenure
    grants: bool
    asked_s: float
    answered_s: float


@dataclass(frozen=True)
class _Volume:
    """One volume as it stands: the last token, and the node that has it, if any."""

    token: int = 0
    node: str = ""

    def after(self, operation: _Operation) -> "_Volume | None":
        """Return what it is after an operation, or None if that could not have been answered."""
        tenure = operation.tenure
        if operation.grants:
            able = tenure.token > self.token and self.node in ("", tenure.node)
            return _Volume(tenure.token, tenure.node) if able else None
        if self.token < tenure.token:
            return None
        return self if self.token > tenure.token else _Volume(self.token)


def assert_linearizable(tenures: list[Tenure]) -> int:
    """Of each volume, any few tenures with tokens in a row fit some order; return how many did."""
    windows = 0
    for volume in sorted({each.volume for each in tenures}):
        in_order = sorted((one for one in tenures if one.volume == volume), key=_token)
        for first in range(max(1, len(in_order) - WINDOW + 1)):
            window = in_order[first : first + WINDOW]
            assert is_linearizable(window), f"no order explains {window}"
            windows += 1
    return windows


def is_linearizable(tenures: list[Tenure]) -> bool:
    """Say whether the tenures of one volume, which anybody may have had before, fit some order."""
    everything = frozenset(each for tenure in tenures for each in _operations(tenure))
    seen: set[tuple[frozenset[_Operation], _Volume]] = set()
    waiting = [(everything, _Volume())]
    while waiting:
        left, volume = state = waiting.pop()
        if not any(each.grants for each in left):
            return True  # a release without an answer need not have happened
        if state in seen:
            continue
        seen.add(state)
        soonest_s = min(each.answered_s for each in left)
        for each in left:
            then = volume.after(each) if each.asked_s <= soonest_s else None
            if then is not None:
                waiting.append((left - {each}, then))
    return False


def _operations(tenure: Tenure) -> Iterator[_Operation]:
    yield _Operation(tenure, True, tenure.asked_s, tenure.granted_s)
    yield _Operation(tenure, False, tenure.left_s, float("inf"))


def _token(tenure: Tenure) -> int:
    return tenure.token
