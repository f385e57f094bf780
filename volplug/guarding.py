"""What the agent asks of its guard, which is another process on the same machine.

The order is what makes it safe: armed before anything touches the volume, disarmed once nothing
here can touch it, and the lease given back last. Where nobody takes leases away after a silence,
there is nothing to guard, and all of it costs nothing.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from volplug.guard import Level
from volplug.lease import Lease


class Guarding(Protocol):
    """What the agent asks of its guard."""

    @property
    def shared_store(self) -> bool:
        """Whether leases are kept where other nodes take them away after a silence."""
        ...

    def begin(self, mine: list[Lease]) -> None:
        """Start, given all leases of this node that stand; what else is watched is stopped."""
        ...

    def level(self) -> Level:
        """Return what the session may be told of this node's guard now; never waits."""
        ...

    def renewed(self) -> None:
        """Tell it that the session was renewed; never raises."""
        ...

    def armed(self, lease: Lease) -> AbstractContextManager[None]:
        """Watch over a volume from its grant on; the block brings it here. Raises Unavailable."""
        ...

    def adopt(self, lease: Lease) -> None:
        """Watch over a volume that is here already; raise Unavailable. Repeating is success."""
        ...

    def disarm(self, volume: str) -> None:
        """Let go of a volume that has left this node; raise Unavailable. Repeating is success."""
        ...

    def has_stopped(self, lease: Lease) -> bool:
        """Say whether the volume was stopped under this token, which is over then for good."""
        ...

    def lost(self) -> None:
        """Stop everything at once, for the session is lost; never raises."""
        ...

    def close(self) -> None:
        """Part from it in good order."""
        ...


class Claim:
    """What others count on: the guard level that the store has heard of, or may have heard of.

    A higher one counts as told at once, a lower one once a renewal is acknowledged: until then the
    store may say either, and others count on the higher one.
    """

    def __init__(self) -> None:
        self.told = Level.NONE
        """The level that others may count on now."""
        self._saying = Level.NONE

    def say(self, level: Level) -> Level:
        """Return the level, about to be told with a renewal."""
        self._saying = level
        self.told = max(self.told, level)
        return level

    def acknowledge(self) -> None:
        """Note that the last renewal was acknowledged, with what it said."""
        self.told = self._saying


class Unguarded:
    """The Guarding of a node whose leases nobody takes away after a silence."""

    shared_store = False

    def begin(self, mine: list[Lease]) -> None:
        """Do nothing."""

    def level(self) -> Level:
        """Return that nothing is guarded."""
        return Level.NONE

    def renewed(self) -> None:
        """Do nothing."""

    def armed(self, lease: Lease) -> AbstractContextManager[None]:  # noqa: ARG002  nobody watches
        """Watch nothing."""
        return nullcontext()

    def adopt(self, lease: Lease) -> None:
        """Do nothing."""

    def disarm(self, volume: str) -> None:
        """Do nothing."""

    def has_stopped(self, lease: Lease) -> bool:  # noqa: ARG002  nobody stops
        """Return that it was not."""
        return False

    def lost(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
