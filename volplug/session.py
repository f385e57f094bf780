"""Who holds leases: one session per node, and how others come to call it silent.

All leases of a node hang on its session, so that renewing one row renews them all. No clock is
compared between machines: an observer times, on a clock of its own, how long *it* has seen a
session unchanged. Whatever pauses the observer only lengthens the wait (leases.md 2.8).
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

from volplug.deadline import Clock

HOLD_MS = 12_000
RENEW_S = 3.0

# The kernel lets a clock be steered by at most 10 % and 500 ppm: a bound, not a guess.
_RATE_ERROR = 0.1005
_DRAIN_S = 0.5
_ROUNDING_S = 0.5

Utc: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the wall clock's time in UTC: for people to read, and for nothing else."""
    return datetime.now(UTC)


class BoottimeClock:
    """The clock to time a silence with: unlike CLOCK_MONOTONIC it counts a suspended machine."""

    def now(self) -> float:
        """Return CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Session:
    """One life of volplug on one node.

    `hardware_id` names the machine, and is empty where nothing can tell; a new `boot_id` on the
    same hardware proves that whatever ran under the old one is dead. `instance` is new with every
    process. `hold_ms` is how long the node may go on writing after its last renewal.
    """

    node: str
    boot_id: str
    hardware_id: str
    instance: str
    hold_ms: int = HOLD_MS


class Presence(StrEnum):
    """How a node's session stands, as one observer has it."""

    ALIVE = "alive"  # it was seen to change lately
    SILENT = "silent"  # it was seen unchanged for longer than its node may write
    DEAD = "dead"  # another node has ended it; the node has to begin a new one


class Quarantine(StrEnum):
    """Whether a node may still have mounts of leases that were taken from it."""

    CLEAN = "clean"
    DIRTY = "dirty"  # it was not heard of since; it gets no new lease
    CLEANABLE = "cleanable"  # it is back and removes them; it gets no new lease until it reported

    @classmethod
    def of(cls, presence: Presence, *, dirty: bool) -> "Quarantine":
        """Say how a node stands from which leases were taken, or none if it is not `dirty`."""
        if not dirty:
            return cls.CLEAN
        return cls.CLEANABLE if presence is Presence.ALIVE else cls.DIRTY


def silence_s(hold_ms: int, drain_s: float = 0.0) -> float:
    """Return how long a session must look unchanged before its holder cannot be writing (W).

    `drain_s` is how long a write may be on its way after the holder stopped; half a second is
    always allowed for. Valid for any two clocks that the kernel's own limits allow (leases.md 2.8).
    """
    on_its_way_s = max(drain_s, _DRAIN_S)
    bound = (1 + _RATE_ERROR) * (hold_ms / 1000 / (1 - _RATE_ERROR) + on_its_way_s) + _ROUNDING_S
    return math.ceil(bound * 2) / 2


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a session has looked unchanged, and how long until it counts as silent."""

    since: datetime
    lasted_s: float
    limit_s: float

    @property
    def is_over(self) -> bool:
        """Whether whoever is that silent cannot be writing any more by its own doing."""
        return self.lasted_s >= self.limit_s


@dataclass(frozen=True, slots=True)
class NodeSession:
    """A node's session as another one sees it.

    `guard_level` is what the node said at its last renewal: 0 nothing stops its writers, 1 a guard
    process does, 2 a hardware watchdog stands behind that. `silence` is how long
    this observer has seen the session unchanged.
    """

    node: str
    incarnation: int
    boot_id: str
    hardware_id: str
    guard_level: int
    hold_ms: int
    presence: Presence
    silence: Silence
    quarantine: Quarantine = Quarantine.CLEAN


@dataclass(frozen=True, slots=True)
class Sighting:
    """Since when an observer has seen a session under the same revision."""

    revision: int
    first_seen_s: float
    first_seen_at: datetime


class Observer:
    """One node's view of all sessions; it remembers when each was last seen to change."""

    def __init__(self, clock: Clock, utc: Utc) -> None:
        self._clock = clock
        self._utc = utc
        self._sightings: dict[tuple[str, int], Sighting] = {}
        self._guard = threading.Lock()

    def see(self, node: str, incarnation: int, revision: int) -> Sighting:
        """Note the revision of a session and return since when it has been the same.

        To be called after the store's answer has arrived: a moment from before the read would
        count time in which the session may still have changed.
        """
        key = (node, incarnation)
        with self._guard:
            known = self._sightings.get(key)
            if known is None or known.revision != revision:
                known = Sighting(revision, self._clock.now(), self._utc())
                self._sightings[key] = known
            return known

    def forget(self) -> None:
        """Begin anew with every session: nobody could be heard of while this one could not listen.

        A store that was away for longer than holders write was away for them as well, and the first
        to come back would take everything from the others.
        """
        with self._guard:
            self._sightings.clear()

    def silent(self, sighting: Sighting, hold_ms: int) -> bool:
        """Say whether a session seen like that has been silent for longer than a holder writes."""
        return self.silence(sighting, hold_ms).is_over

    def silence(self, sighting: Sighting, hold_ms: int) -> Silence:
        """Return how long a session seen like that has been silent by now."""
        lasted_s = self._clock.now() - sighting.first_seen_s
        return Silence(sighting.first_seen_at, lasted_s, silence_s(hold_ms))
