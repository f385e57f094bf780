"""Taking turns across nodes, with a directory of the tree as the token.

For what must be read, changed and written back as a whole on a server that offers no such thing,
such as a list of allowed clients. Not for anything longer than seconds, and no lease: a holder that
died is passed over after `STALE_S`, which no living one reaches, for its deadline is shorter.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from volplug.deadline import shielded, wait_until
from volplug.trees.handle import OURS
from volplug.trees.tree import Tree

STALE_S = 300.0
_LOCKS = f"{OURS}/locks"
_OVER = ".over."
_UNKNOWN = "unknown"


@contextmanager
def turn(tree: Tree, name: str) -> Iterator[None]:
    """Let one holder at a time into the block, on all nodes that use the tree.

    Raises DeadlineExceeded if others kept it until then.
    """
    place = f"{_LOCKS}/{name}"
    token = secrets.token_hex(8)
    wait_until(lambda: _taken(tree, place, token), f"another node's turn at {name}", poll_s=0.05)
    try:
        yield
    finally:
        with shielded(10):
            # Whoever waits may have noted over us; only a turn that is another's is left alone.
            if _holder(tree, place)[1] in (token, _UNKNOWN, ""):
                _end(tree, place)


def _taken(tree: Tree, place: str, token: str) -> bool:
    try:
        tree.mkdir(place)
    except FileExistsError:
        since_s, _ = _holder(tree, place)
        if since_s is not None and time.time() - since_s > STALE_S:
            _end(tree, place)
        return False
    _note(tree, place, token)
    return True


def _holder(tree: Tree, place: str) -> tuple[float | None, str]:
    """Return since when the turn is whose; nothing if it was taken or given back this moment."""
    try:
        since, token = tree.read(f"{place}/holder").split()
        return float(since), token
    except (FileNotFoundError, ValueError):
        with suppress(FileNotFoundError):
            _note(tree, place, _UNKNOWN)  # its taker may have died: let its time begin now
        return None, ""


def _note(tree: Tree, place: str, token: str) -> None:
    fresh = f"{place}/{secrets.token_hex(4)}"
    tree.write(fresh, f"{time.time()} {token}")
    tree.rename(fresh, f"{place}/holder")


def _end(tree: Tree, place: str) -> None:
    """End a turn in one step; somebody else having ended it is success.

    By a name in the same directory: Gluster with quotas asks for a directory's size before it is
    moved to another, and a brick that gets no answer leaves it behind (10.3, quota.c). What heals
    that asks once more, for a minute, and keeps others out of the directory meanwhile.
    """
    with suppress(FileNotFoundError):
        tree.rename(place, f"{_LOCKS}/{_OVER}{secrets.token_hex(8)}")
    for entry in tree.entries(_LOCKS):  # of others too, who died on the way
        if entry.name.startswith(_OVER):
            with suppress(OSError):  # the turn is over; the next end tries again
                _remove(tree, f"{_LOCKS}/{entry.name}")


def _remove(tree: Tree, over: str) -> None:
    for entry in tree.entries(over):
        tree.unlink(f"{over}/{entry.name}")
    tree.rmdir(over)
