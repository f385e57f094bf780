"""The one way up and the one way down: from a volume's record to a directory on this node.

    up:   lease → arm → attach → stage
    down: unstage → disarm → detach → release, stopping at the first failure

Unmount, a failed mount and crash recovery all take the same way down. The lease goes last, so that
a failure leaves the volume safe from others and the evidence in the table.
"""

import logging
from dataclasses import replace
from pathlib import Path

from volplug import arming, fences, quarantine, refusal, request
from volplug.catalog import Record
from volplug.crashpoint import crashpoint
from volplug.deadline import deadline, shielded, wait_until
from volplug.driver import Fencing
from volplug.errors import DeadlineExceeded, HeldElsewhere, HostError, Unavailable, VolumeInUse
from volplug.event import Event, Outcome
from volplug.host import Filesystem
from volplug.lease import FenceState, Lease, LeaseState, compatible, held_elsewhere
from volplug.node import Node

_log = logging.getLogger(__name__)

CLEANUP_S = 30.0
"""How long the way down may take after a failed way up, whatever deadline stood before."""

FENCE_S = 30.0
"""How long it may take to fence a silent holder, however little is left of the wait for a lease."""


class Ladder:
    """This node's way to a volume; callers see to it that only one at a time climbs to each."""

    def __init__(self, node: Node, *, wait_s: float) -> None:
        self._node = node
        self._wait_s = wait_s

    def up(self, name: str) -> Path:
        """Return the volume's directory on this node, bringing it here if it is not.

        The kernel's list of mounts is asked each time: a mount that vanished is made again. Waits
        for a lease that another node is about to release, then raises HeldElsewhere.
        """
        record = self._ready(name)
        lease = self._node.leases.mine(name)
        path = self._node.host.path(name)
        if lease is not None and self._is_over(lease):
            self.down(name)  # raises VolumeInUse while somebody here still uses what was taken
        elif lease is not None and path is not None:
            if not self._left_as_cut_off(record, lease):
                return path
        elif path is not None:
            self._take_away_stale(record)
        granted = self._acquire(record)
        crashpoint("up.leased")
        try:
            with arming.guarded(self._node, record, granted):
                path = self._attach_and_stage(record, granted)
            self._require_unstopped(granted)
        except BaseException:
            self._clean_up(name)
            raise
        return path

    def down(self, name: str) -> None:
        """Take the volume away from this node and give its lease back; not here is success.

        Raises VolumeInUse, and changes nothing, while a process here has it mounted.
        """
        self._unstage(name)
        crashpoint("down.unstaged")
        self._node.guard.disarm(name)
        lease = self._node.leases.mine(name)
        if lease is None:
            return
        record = self._node.catalog.get(name)
        if record is not None:
            driver = self._node.backends.driver(record.backend)
            with (
                self._node.journal.step(Event.DETACH, volume=name, token=lease.token),
                self._node.operations.turn(record.backend),
            ):
                driver.detach(request.volume(record, driver), driver.node_id())
        crashpoint("down.detached")
        self._release(lease)
        crashpoint("down.released")

    def _attach_and_stage(self, record: Record, granted: Lease) -> Path:
        driver, journal = self._node.backends.driver(record.backend), self._node.journal
        volume = request.volume(record, driver)
        with self._node.operations.turn(record.backend):
            with journal.step(Event.ATTACH, volume=record.name, token=granted.token):
                source = driver.attach(volume, driver.node_id())
            crashpoint("up.attached")
            if isinstance(driver, Fencing):
                self._confirm(granted)
            with journal.step(Event.STAGE, volume=record.name, token=granted.token):
                self._node.host.stage(
                    record.name,
                    source,
                    filesystem=record.filesystem,
                    remember=lambda filesystem: self._remember(record.name, filesystem),
                    owner=record.owner,
                    read_only=record.access.read_only,
                )
        crashpoint("up.staged")
        path = self._node.host.path(record.name)
        if path is None:
            raise HostError(
                f"volume '{record.name}' was mounted, but the kernel does not list it; try again"
            )
        return path

    def _confirm(self, granted: Lease) -> None:
        """See to it that the lease still stood when the storage had let this node in.

        Who takes it from now on finds this node among those to be cut off. Who took it before has
        found nobody, and this machine may have stood still since the grant for any time: so what
        was attached is not used then. Raises HeldElsewhere, or Unavailable.
        """
        if self._node.leases.acquire(granted.volume, granted.access).token != granted.token:
            raise Unavailable(
                f"the lease of volume '{granted.volume}' was taken away while the volume was being"
                " attached; try again"
            )

    def _require_unstopped(self, granted: Lease) -> None:
        """Raise Unavailable if the volume was stopped on its way up: its directory is dead."""
        if self._node.guard.has_stopped(granted):
            raise Unavailable(
                f"volume '{granted.volume}' was stopped while it was being mounted, for this node"
                " could not renew its lease in time; try again once the store answers"
            )

    def _is_over(self, lease: Lease) -> bool:
        """Say whether a lease of ours is good for nothing but to be given back."""
        return lease.state is LeaseState.CONDEMNED or self._node.guard.has_stopped(lease)

    def _left_as_cut_off(self, record: Record, lease: Lease) -> bool:
        """Take the volume down if the storage may refuse this node though its lease stands; say so.

        That is so where this node was silent, and was heard of again after a taker had begun to
        fence it: the taker gives up then. Only the way up has the storage let this node in again.
        Raises VolumeInUse while somebody here uses what is certainly refused.
        """
        if not isinstance(self._node.backends.driver(record.backend), Fencing):
            return False
        fences = self._node.leases.fences(record.name)
        begun = next((fence for fence in fences if fence.token == lease.token), None)
        if begun is None:
            return False
        try:
            self.down(record.name)
        except VolumeInUse:
            if begun.state is FenceState.DONE:
                raise
            return False
        return True

    def _take_away_stale(self, record: Record) -> None:
        """Unmount what stayed here after its lease was taken, while there is no new one yet.

        The storage may refuse it since. Beside a new lease it could not be told from what belongs
        to that: the grant's answer may be lost, or this process die. Raises VolumeInUse while
        somebody here still uses it, or HeldElsewhere if another node has it besides.
        """
        try:
            self._unstage(record.name)
        except VolumeInUse:
            for lease in self._node.leases.leases(record.name):
                others = lease.node != self._node.name and lease.state is LeaseState.LIVE
                if others and not compatible(record.access, lease.access):
                    raise held_elsewhere(lease, lease.since) from None
            raise
        self._node.guard.disarm(record.name)

    def _unstage(self, name: str) -> None:
        if self._node.host.path(name) is None:
            self._let_go(name)  # what is left of it, if anything is
            return
        with self._node.journal.step(Event.UNSTAGE, volume=name):
            self._let_go(name)

    def _let_go(self, name: str) -> None:
        """Unmount it; without a flush if its lease was taken, for it may be another's by now."""
        if tokens := quarantine.taken(self._node).get(name):
            quarantine.clean_up(self._node, name, tokens)
        else:
            self._node.host.unstage(name)

    def _release(self, lease: Lease) -> None:
        with self._node.journal.step(Event.RELEASE, volume=lease.volume, token=lease.token):
            self._node.leases.release(lease)

    def _remember(self, name: str, filesystem: Filesystem) -> None:
        self._node.catalog.replace(replace(self._ready(name), filesystem=filesystem))

    def _acquire(self, record: Record) -> Lease:
        """Lease the volume, waiting a while for a release; raise HeldElsewhere in the end."""
        granted: list[Lease] = []
        refused: list[HeldElsewhere] = []
        tried: set[int] = set()
        journal = self._node.journal

        def acquire() -> bool:
            try:
                granted.append(self._take(record, tried))
            except HeldElsewhere as error:
                if not refused:
                    journal.note(Event.WAIT, Outcome.BEGUN, volume=record.name, reason=str(error))
                refused[:] = [error]
                return False
            return True

        try:
            with deadline(self._wait_s):
                wait_until(acquire, f"the lease of volume '{record.name}'", poll_s=0.25)
        except DeadlineExceeded:
            if not refused:  # the store has let us wait all that time for its first answer
                raise
            journal.note(Event.REFUSE, volume=record.name, reason=str(refused[0]))
            raise refused[0] from None
        journal.note(Event.GRANT, volume=record.name, token=granted[0].token)
        return granted[0]

    def _take(self, record: Record, tried: set[int]) -> Lease:
        """Lease the volume now, over a fence if its holder is silent; raise HeldElsewhere.

        A fence that was begun is finished and used: silence itself takes most of the wait, and who
        gave up in the midst of it would have cut the holder off for nothing.
        """
        try:
            return self._node.leases.acquire(record.name, record.access)
        except HeldElsewhere:
            with shielded(FENCE_S):
                if not fences.cut_off_silent_holders(self._node, record, tried):
                    raise
                return self._node.leases.acquire(record.name, record.access)

    def _ready(self, name: str) -> Record:
        record = self._node.catalog.get(name)
        if record is None:
            raise refusal.absent(name)
        if (not_ready := refusal.not_ready(record)) is not None:
            raise not_ready
        return record

    def _clean_up(self, name: str) -> None:
        """Take the way down after a failure; what cannot be undone now is left to the keeper."""
        try:
            with shielded(CLEANUP_S):
                self.down(name)
        except Exception:  # noqa: BLE001  the first failure is the one to tell
            _log.warning("volume '%s' could not be taken down yet", name, exc_info=True)
