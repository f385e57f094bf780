"""What is served while the cluster's store is away at the start, and how the node begins after all.

After a power cut the members of the store boot beside the nodes that need it, and an engine asks a
plugin once, then goes without it: so the front answers at once. What needs the store is refused
with a sentence until it is there; the end of a container, which no engine tells twice, is noted
all the same.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from volplug import mounts
from volplug.errors import DeadlineExceeded, Unavailable, VolplugError
from volplug.mount_table import MountTable
from volplug.renewal import end_process

T = TypeVar("T")
S = TypeVar("S")

RETRY_S = 1.0

_log = logging.getLogger(__name__)


class Opening(Generic[T]):
    """What `start` returns, as soon as it does not say any more that the store is unavailable."""

    def __init__(
        self,
        start: Callable[[], T],
        table: MountTable,
        *,
        give_up: Callable[[], None] = end_process,
        retry_s: float = RETRY_S,
    ) -> None:
        """`give_up` is called if the store, once it is there, refuses us: a new start says why."""
        self._start = start
        self._table = table
        self._give_up = give_up
        self._retry_s = retry_s
        self._found: T | None = None
        self._trouble = ""

    def begin(self) -> None:
        """Start now; if the store is away, return, and start once it is there.

        Raises what `start` raises for any other reason.
        """
        if self._succeeds():
            return
        _log.warning("%s; volplug begins when it is back", self._trouble)
        threading.Thread(target=self._wait, name="opening", daemon=True).start()

    def late(self, part: Callable[[T], S]) -> S:
        """Return a part of what is started, to be used before it is there.

        Until then each use raises Unavailable, but for `activated` and `unmount`.
        """
        return cast(
            "S", _Late(lambda: _Meanwhile(self) if self._found is None else part(self._found))
        )

    def activated(self) -> None:
        """Note a new engine instance in the node's own table."""
        self._table.next_epoch()

    def unmount(self, name: str, mount_id: str) -> None:
        """Note the end of a use in the node's own table; the volume is taken down later."""
        mounts.end_use(self._table, name, mount_id)

    def refuse(self) -> Unavailable:
        """Return the refusal of all else."""
        return Unavailable(
            f"the store is away, and nothing can be done without it: {self._trouble}"
        )

    def _succeeds(self) -> bool:
        try:
            self._found = self._start()
        except (Unavailable, DeadlineExceeded) as error:
            self._trouble = str(error)
            return False
        return True

    def _wait(self) -> None:
        pause = threading.Event()
        try:
            while not self._succeeds():
                pause.wait(self._retry_s)
        except VolplugError as error:
            _log.critical("%s", error)
            self._give_up()
        except Exception:  # noqa: BLE001  the process must not stay as it is
            _log.critical("volplug could not begin", exc_info=True)
            self._give_up()
        else:
            _log.info("the store is there; volplug has begun")


class _Meanwhile:
    """What there is before there is anything."""

    def __init__(self, opening: Opening[Any]) -> None:
        self._opening = opening
        self.activated = opening.activated
        self.unmount = opening.unmount

    def __getattr__(self, _: str) -> Any:
        raise self._opening.refuse()


class _Late:
    """Stands for an object that is looked for at each use."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)
