"""What volplug does unasked: take unused volumes down, finish what was left half done.

Engines lose Unmounts and processes get killed, so nothing may depend on a call that says "clean
up". The keeper looks at what is there (rows, leases, mounts, records) and moves each volume to
where it should be. It never waits for a volume: the work runs as an operation, and is tried again.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic

from volplug import quarantine
from volplug.catalog import RecordState
from volplug.controller import Controller
from volplug.errors import Busy, VolplugError, VolumeInUse
from volplug.event import Event
from volplug.lease import Lease, LeaseState
from volplug.mounts import Mounts
from volplug.node import Node

_log = logging.getLogger(__name__)

PERIOD_S = 30.0
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 10.0


@dataclass(frozen=True)
class _Visit:
    """When a volume is to be drained, and the pause after it if it is still in use then."""

    due_s: float
    retry_s: float


class Keeper:
    """One thread that keeps this node's volumes in order."""

    def __init__(
        self, node: Node, controller: Controller, mounts: Mounts, *, period_s: float = PERIOD_S
    ) -> None:
        self._period_s = period_s
        self._node = node
        self._controller = controller
        self._mounts = mounts
        self._visits: dict[str, _Visit] = {}
        self._health: dict[str, str] = {}
        self._taken: set[str] = set()
        self._wake = threading.Condition()
        self._stopped = False

    def start(self) -> None:
        """Begin; the first reconciliation happens at once."""
        threading.Thread(target=self._live, name="keeper", daemon=True).start()

    def stop(self) -> None:
        """End the thread soon; what it began goes on."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def nudge(self, volume: str) -> None:
        """Take the volume down soon if nobody uses it; never blocks."""
        self._plan(volume, _Visit(monotonic(), FIRST_RETRY_S))

    def reconcile(self) -> None:
        """Look at everything once, and begin what has to be done."""
        self._mounts.reap()
        staged = self._node.host.staged()
        used = {volume for volume in staged if self._mounts.users(volume)}
        leases = self._own_leases()
        standing = {lease.volume for lease in leases if lease.state is not LeaseState.CONDEMNED}
        for volume in sorted(used - standing):
            if self._mounts.users(volume):
                if volume not in self._taken:
                    self._node.journal.note(Event.TAKEN, volume=volume, reason="it is used here")
                _log.error(
                    "volume=%s is used here, and its lease was taken away: another node may be"
                    " writing to it; stop its containers",
                    volume,
                )
        self._taken = used - standing
        self._clean_up()
        leased = {lease.volume for lease in leases}
        for volume in sorted(staged | leased | self._mounts.draining()):
            if not self._mounts.in_use(volume):
                self.nudge(volume)
        for record in self._node.catalog.records():
            if record.state is not RecordState.READY:
                self._finish(record.name)
        self._tell_health()

    def _clean_up(self) -> None:
        """Take down what was taken from this node, which gets no new lease before."""
        for volume, tokens in quarantine.taken(self._node).items():
            work = partial(self._clean_one, volume, tokens)
            self._node.operations.start(volume, "clean up", work)

    def _clean_one(self, volume: str, tokens: list[int]) -> None:
        try:
            quarantine.clean_up(self._node, volume, tokens)
        except VolplugError as error:
            _log.warning("volume=%s was taken from this node, not cleaned up: %s", volume, error)

    def _tell_health(self) -> None:
        """Log where a mount's health has changed; to ask for it keeps it fresh for the others."""
        host, before = self._node.host, self._health
        self._health = {volume: host.health(volume) for volume in host.staged()}
        for volume, trouble in self._health.items():
            if trouble != before.get(volume, ""):
                _log.warning("volume=%s %s", volume, trouble or "well again")

    def _own_leases(self) -> list[Lease]:
        """Return this node's leases, in one question, however many there are.

        One of an earlier boot is among them: the way down finds out that it is not ours.
        """
        return [lease for lease in self._node.leases.leases() if lease.node == self._node.name]

    def _finish(self, volume: str) -> None:
        def work() -> None:
            try:
                self._controller.finish(volume)
            except Busy as error:  # another node is at it
                _log.debug("volume=%s left alone: %s", volume, error)
            except VolplugError as error:
                _log.warning("volume=%s not finished yet: %s", volume, error)

        self._node.operations.start(volume, "finish", work)

    def _live(self) -> None:
        next_look_s = monotonic()
        while not self._stopped:
            now_s = monotonic()
            if now_s >= next_look_s:
                self._guarded(self.reconcile)
                next_look_s = now_s + self._period_s
            self._visit_due()
            with self._wake:
                due_s = [visit.due_s for visit in self._visits.values()]
                next_s = min([next_look_s, *due_s])
                self._wake.wait(max(0.0, next_s - monotonic()))

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do a part of the round; a failure is told and the round goes on."""
        try:
            work()
        except VolplugError as error:
            _log.warning("keeper: %s", error)
        except Exception:  # noqa: BLE001  a bug must not end the rounds
            _log.exception("keeper")

    def _visit_due(self) -> None:
        now_s = monotonic()
        with self._wake:
            due = {name: visit for name, visit in self._visits.items() if visit.due_s <= now_s}
            for volume in due:
                del self._visits[volume]
        for volume, visit in due.items():
            if not self._node.operations.start(
                volume, "unmount", partial(self._drain, volume, visit)
            ):
                self._later(volume, visit)  # another operation runs; ours comes after it

    def _drain(self, volume: str, visit: _Visit) -> None:
        try:
            self._mounts.drain(volume)
        except VolumeInUse:
            self._later(volume, visit)
        except VolplugError as error:
            _log.warning("volume=%s not taken down yet: %s", volume, error)

    def _later(self, volume: str, visit: _Visit) -> None:
        pause_s = visit.retry_s
        self._plan(volume, _Visit(monotonic() + pause_s, min(2 * pause_s, LAST_RETRY_S)))

    def _plan(self, volume: str, visit: _Visit) -> None:
        """Put a visit on the list, unless the volume is to be visited sooner anyway."""
        with self._wake:
            planned = self._visits.get(volume)
            if planned is None or visit.due_s < planned.due_s:
                self._visits[volume] = visit
                self._wake.notify()
