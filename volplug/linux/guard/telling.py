"""What the agent says of its node's writers being held up and stopped: each thing once."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from volplug.event import Event
from volplug.guard import State
from volplug.journal import Journal

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """How a volume stands since the agent itself did something about it, and what went wrong."""

    volume: str
    token: int
    state: State
    trouble: Exception | None


class Telling:
    """Says it, in the log and the journal. Any thread may ask it to, and may wait for a reader."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._told: set[tuple[str, int]] = set()
        self._last: dict[tuple[str, int], tuple[State, str]] = {}
        self._mutex = threading.Lock()

    def stopped(self, leases: Iterable[tuple[str, int]]) -> None:
        """Tell of volumes that were stopped under their tokens, by whomever."""
        with self._mutex:
            new = sorted(set(leases) - self._told)
            self._told.update(new)
        for volume, token in new:
            _log.error(
                "volume=%s token=%d was stopped, for this node could not renew in time: its"
                " containers have to be restarted",
                volume,
                token,
            )
            self._journal.note(Event.STOP, volume=volume, token=token)

    def changed(self, change: Change) -> None:
        """Tell of what the agent did itself, having no guard."""
        lease, trouble = (change.volume, change.token), str(change.trouble or "")
        before = self._last.get(lease, (State.ACTIVE, ""))
        self._last[lease] = change.state, trouble
        if before[0] is not change.state and change.state is not State.STOPPED:
            what = "held up" if change.state is State.FROZEN else "let go on"
            _log.warning(
                "volume=%s token=%d is %s by volplug itself, for it has no guard", *lease, what
            )
        if trouble and before[1] != trouble:
            _log.error("volume=%s token=%d %s", *lease, trouble)
        if change.state is State.STOPPED:
            self.stopped([lease])
