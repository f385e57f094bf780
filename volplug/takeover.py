"""On what ground a silent node's lease may move, and what stops that node's writers.

A lease is permission and no fence, so each volume has an enforcement level: what there is that ends
a writer which does not end itself. From that and the operator's choice follows what may be waited
for and what may not (leases.md 2.9). All of it is decided here, and nowhere else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from volplug.lease import Lease
from volplug.session import NodeSession, silence_s


class Takeover(StrEnum):
    """What an operator lets happen by itself when a node is silent."""

    FENCED = "fenced"  # over a fence, or after a silence that a hardware watchdog stands for
    TIMED = "timed"  # also after a silence that only a guard process stands for
    MANUAL = "manual"  # nothing: an operator attests that the node is off


class Level(IntEnum):
    """What ends a writer that does not end itself."""

    NONE = 0
    GUARD = 1
    WATCHDOG = 2
    STORAGE = 3


class Ground(StrEnum):
    """What has to be there before the lease of a silent node is condemned."""

    FENCE = "fence"  # the storage has confirmed that it refuses the node
    SILENCE = "silence"  # the node's own guard has stopped it by now, and its writes have arrived
    WORD = "word"  # an operator has attested that the node is off


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What counts of a volume's driver and backend; see `Driver` for `node_local` and `drain_s`."""

    fencing: bool
    node_local: bool = False
    drain_s: float | None = None
    takeover: Takeover = Takeover.FENCED


def guard_level(lease: Lease, nodes: Iterable[NodeSession]) -> int:
    """Return what a lease's holder said of its guard, in that life of it; 0 if nobody knows."""
    for each in nodes:
        if (each.node, each.incarnation) == (lease.node, lease.incarnation):
            return each.guard_level
    return 0


def level(storage: Storage, guarded: int) -> Level:
    """Return the enforcement level of a volume whose holder says that guard level."""
    if storage.fencing:
        return Level.STORAGE
    if storage.node_local:
        return Level.NONE
    return Level(min(max(guarded, Level.NONE), Level.WATCHDOG))


def ground(storage: Storage, guarded: int) -> Ground:
    """Say on what ground the lease of a holder may move once that is silent (leases.md 2.9 c)."""
    if storage.takeover is Takeover.MANUAL:
        return Ground.WORD
    reached = level(storage, guarded)
    if reached is Level.STORAGE:
        return Ground.FENCE
    least = Level.GUARD if storage.takeover is Takeover.TIMED else Level.WATCHDOG
    return Ground.SILENCE if reached >= least and storage.drain_s is not None else Ground.WORD


def wait_s(storage: Storage, holder: NodeSession) -> float:
    """Return for how long a holder has to be silent before its lease may move by that alone."""
    assert storage.drain_s is not None, "an unbounded drain cannot be waited out (leases.md I5)"
    return silence_s(holder.hold_ms, storage.drain_s)


def sentence(storage: Storage, guarded: int) -> str:
    """Say which level a volume has, and what its lease needs to move away from a silent node."""
    reached = level(storage, guarded)
    return f"{reached.value} ({_STOPS[reached]}): {_needs(storage, guarded)}"


def because(storage: Storage) -> str:
    """Say why the lease of a silent node waits for a person's word, where it does."""
    if storage.takeover is Takeover.MANUAL:
        return "takeover is manual"
    if storage.node_local:
        return "its data is on one node"
    if storage.drain_s is None:
        return "nobody knows how late its writes may arrive"
    return f'no guard stops its node surely enough for takeover = "{storage.takeover}"'


_STOPS = {
    Level.STORAGE: "the storage refuses a node that was fenced",
    Level.WATCHDOG: "the holder's guard stops it, and a hardware watchdog stands behind the guard",
    Level.GUARD: "the holder's guard stops it, unless the whole machine hangs or is paused",
    Level.NONE: "nothing stops a holder that goes on",
}


def _needs(storage: Storage, guarded: int) -> str:
    which = ground(storage, guarded)
    if which is Ground.FENCE:
        return "the next Mount elsewhere has a silent holder fenced, and gets the volume"
    if which is Ground.SILENCE:
        return "the next Mount elsewhere waits until a silent holder has stopped by itself"
    word = "a silent holder keeps it until an operator attests that it is off"
    if storage.takeover is Takeover.MANUAL or storage.node_local or storage.drain_s is None:
        return f"{because(storage)}, so {word} (`volplug lease evict`)"
    return f'{word} (`volplug lease evict`), or its backend has takeover = "timed" and a guard runs'
