"""Who may use a volume: leases, their tokens, and the table that keeps them.

A lease is permission and order, not a fence: only the holder's own stop, or the storage refusing
it, ends a writer. A lease therefore never ends by the clock alone. When its holder's session goes
silent it is *lapsed*, and still bars others; it moves once it is *condemned*, which takes a proof
that the holder cannot write any more, or an operator's word for it (leases.md 2.9).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from volplug.errors import HeldElsewhere, VolumeInUse
from volplug.session import NodeSession, Presence, Silence
from volplug.volume import AccessMode


class LeaseState(StrEnum):
    """How a lease stands."""

    LIVE = "live"  # its holder's session is renewed
    LAPSED = "lapsed"  # the session has been silent for longer than a holder may write
    CONDEMNED = "condemned"  # proven or attested dead: the next acquire takes it away


@dataclass(frozen=True, slots=True)
class Lease:
    """One node's permission to use one volume.

    `token` grows with every new lease of a volume and is never given twice, not even after the
    volume's leases were all released, nor after the volume was deleted and made again.
    `incarnation` is the life of the node that holds it; the token alone tells leases apart.
    """

    volume: str
    node: str
    access: AccessMode
    token: int
    since: datetime
    state: LeaseState = LeaseState.LIVE
    incarnation: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Condemnation:
    """The kept record of a lease taken from its holder: whose word or which proof, and why."""

    volume: str
    node: str
    token: int
    by: str
    reason: str
    at: datetime


class FenceState(StrEnum):
    """How far the cutting off of a holder has come."""

    REQUIRED = "required"  # stored before the storage is asked; whoever comes next goes on
    DONE = "done"  # the storage has confirmed it; final
    FAILED = "failed"  # it could not be confirmed; may be required again


@dataclass(frozen=True, slots=True)
class Fence:
    """The kept record of one token's fence: how far it has come, by which node, and its words."""

    volume: str
    node: str
    token: int
    state: FenceState
    by: str
    words: str
    at: datetime


def compatible(wanted: AccessMode, held: AccessMode) -> bool:
    """Say whether two different nodes may hold leases of one volume at the same time."""
    return wanted is held and wanted in (AccessMode.SHARED, AccessMode.SHARED_READ)


def held_elsewhere(lease: Lease, silent_since: datetime) -> HeldElsewhere:
    """Return the refusal of whoever is barred by this lease: holder, since when, the next step.

    `silent_since` is when the holder's session was last seen to change; it shows once lapsed.
    """
    held = (
        f"volume {lease.volume!r} is held by node {lease.node!r} as {lease.access} "
        f"since {in_utc(lease.since)} ({lease.state}): "
    )
    if lease.state is LeaseState.LIVE:
        return HeldElsewhere(held + "stop its containers there or wait")
    return HeldElsewhere(
        f"{held}its node has been silent since {in_utc(silent_since)}; "
        f"if it is really off: volplug lease release {lease.volume} --reason ..."
    )


def quarantined(node: str, volumes: Iterable[str]) -> HeldElsewhere:
    """Return the refusal of a node that may still have mounts of leases taken from it."""
    taken = ", ".join(f"'{name}'" for name in sorted(set(volumes)))
    return HeldElsewhere(
        f"node {node!r} gets no new lease: its lease of volume {taken} was taken from it while it"
        " was silent, and its mounts of that are not removed yet; volplug on it does so within"
        " half a minute, once no container there uses them (`volplug node ls`)"
    )


def check_forgettable(session: NodeSession, leases: Iterable[Lease]) -> None:
    """Raise VolumeInUse if a node is alive, or leases hang on it, so that it must be known."""
    held = sorted({lease.volume for lease in leases if lease.node == session.node})
    if session.presence is Presence.ALIVE:
        raise VolumeInUse(
            f"node {session.node!r} was heard of {session.silence.lasted_s:.0f} s ago: stop volplug"
            f" there, and repeat this when it was silent for {session.silence.limit_s:g} s"
        )
    if held:
        raise VolumeInUse(
            f"node {session.node!r} holds leases of {', '.join(held)}: `volplug lease evict"
            f" {session.node} --powered-off --reason ...` frees them, if it is really off"
        )


def in_utc(moment: datetime) -> str:
    """Write a moment as people read it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


class LeaseTable(ABC):
    """All leases, as one node sees and changes them.

    The table belongs to one session of one node. An answer means that the change is durable: no
    crash or power loss takes it back. Every verb is safe to repeat.
    """

    @abstractmethod
    def acquire(self, volume: str, access: AccessMode) -> Lease:
        """Lease a volume for this node; already leased in that mode gives the same lease again.

        Raises HeldElsewhere, without waiting, while a lease that is not condemned bars it; the
        sentence names the volume, the holder, since when, the state, and the next step. Condemned
        leases in the way are removed in the same transaction that grants this one.
        """

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Give a lease back. One with this token that is gone already is success."""

    @abstractmethod
    def leases(self, volume: str | None = None) -> list[Lease]:
        """List the leases of one volume, or all, sorted by volume and token."""

    @abstractmethod
    def mine(self, volume: str) -> Lease | None:
        """Return the lease that this node holds on a volume."""

    @abstractmethod
    def condemn(self, lease: Lease, *, by: str, reason: str) -> None:
        """Declare that the holder of exactly this token can no longer write.

        Kept as a Condemnation for ever. A lease with another token is never touched; already
        condemned or gone is success. The holder's node gets no new lease from then on until it has
        reported with `report_clean`, or has booted anew on hardware that is known to be the same.
        """

    @abstractmethod
    def condemnations(self, volume: str | None = None) -> list[Condemnation]:
        """List what was condemned, oldest first."""

    @abstractmethod
    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        """Store how far the fence of exactly this token has come, and return what stands then.

        Returns None, and changes nothing, if the fence is to be required and the lease has not
        lapsed any more, or if it is to be settled and was never required. What is done stays done.
        """

    @abstractmethod
    def fences(self, volume: str | None = None) -> list[Fence]:
        """List the fences that were ever required, sorted by token."""

    @abstractmethod
    def stale(self) -> list[tuple[str, int]]:
        """List volume and token of what was taken from this node, and may be mounted here still."""

    @abstractmethod
    def report_clean(self, volume: str, token: int) -> None:
        """Report that nothing is mounted on this node under that token. Repeating is success."""

    @abstractmethod
    def forget(self, node: str) -> None:
        """Forget a node that is gone for good. Already forgotten is success.

        Raises VolumeInUse while the node is alive, or a lease hangs on it. What was taken from it
        stays marked: should it come back, it has to report first.
        """

    @abstractmethod
    def silences(self, volume: str) -> dict[int, Silence]:
        """Return, by token, how long the holders of a volume's leases have not been heard of.

        As this node sees it, whose looks are seconds apart: a few seconds are no silence.
        """

    @abstractmethod
    def nodes(self) -> list[NodeSession]:
        """List the sessions of all nodes, sorted by name, as this node has seen them so far."""

    @abstractmethod
    def renew(self, guard_level: int = 0) -> None:
        """Keep this node's session, and so all its leases, live, and say how it is guarded.

        `guard_level` (0 to 2, see NodeSession) holds until the next renewal says another one, and
        is 0 again when a process registers. Raises HostError, as every change does, once this
        process must not act as its node any more: the session is another's, or the store has gone
        back in time. Then the process has to end.
        """

    def renewed_s(self) -> float:
        """Return when the last change that was acknowledged was first sent, by CLOCK_BOOTTIME.

        From then on others count this node's silence (leases.md 2.8); no change is older than this
        object. It matters where other nodes share the table.
        """
        return math.inf
