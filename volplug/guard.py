"""When a node has to stop its own writers: the rules of the guard, without anything that stops.

A lease is permission that others take away after a silence, so its holder must have stopped before
that, whatever has become of the process that renews. The time counts from the *first sending* of
the last acknowledged request: the store may have applied it right then, and whoever waits for our
silence counts from no later (leases.md 2.8). First comes a freeze, which a renewal in time undoes
without a trace; then a stop, which nothing undoes.

Pure: the clock and what stops are given. It runs in a process of its own, and in the simulation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from volplug.lease import compatible
from volplug.volume import AccessMode

FREEZE_PART = 0.75
"""The part of its hold time after which a holder freezes, leaving the rest for the freeze (D1)."""

AGAIN_S = 0.1
"""The pause before a stop that has not worked yet is tried again."""


class State(IntEnum):
    """How an armed volume stands; it only ever goes back from FROZEN to ACTIVE."""

    ACTIVE = 1
    FROZEN = 2
    STOPPED = 3


class Level(IntEnum):
    """What stops a silent node's writers for certain, as far as the node itself can see to it."""

    NONE = 0
    PROCESS = 1  # a guard process answers, whatever becomes of the one that renews
    WATCHDOG = 2  # and hardware resets the machine if that one cannot run


class Late(Exception):
    """A grant came too late to be used: its holder must not write under it (leases.md I10)."""


class Stopper(Protocol):
    """What stops the writers of one volume. No method ever waits: each begins, and returns."""

    def freeze(self) -> None:
        """Begin to hold the writers up, undone by `thaw`; what fails or hangs delays nobody."""
        ...

    def thaw(self) -> None:
        """Let the writers go on, even if the freeze is still under way or has failed."""
        ...

    def stop(self) -> bool:
        """End the writers for good, frozen or not; asked again until it says that they are."""
        ...


class Clock(Protocol):
    """The guard's only clock: CLOCK_BOOTTIME, which counts a suspended machine."""

    def now(self) -> float:
        """Return seconds since the machine was started."""
        ...


@dataclass(frozen=True, slots=True)
class Times:
    """How long after the first sending of its last renewal a node may write."""

    freeze_s: float
    stop_s: float

    @classmethod
    def of(cls, hold_ms: int) -> "Times":
        """Return the times that go with a session's `hold_ms` (leases.md 2.8)."""
        return cls(FREEZE_PART * hold_ms / 1000, hold_ms / 1000)

    def usable(self, base_s: float, now_s: float) -> bool:
        """Say whether what was granted to a request of that moment may be used (leases.md I10)."""
        return now_s < base_s + self.freeze_s


@dataclass(slots=True)
class Armed:
    """One volume under one token: until when it may be written, and how it stands.

    `done` says whether the stop has been seen to work. A stopped one stays until it is disarmed.
    """

    volume: str
    token: int
    times: Times
    base_s: float
    stopper: Stopper
    state: State = State.ACTIVE
    done: bool = False

    @property
    def due_s(self) -> float:
        """Return when it has to be frozen, or stopped if it is frozen."""
        part_s = self.times.freeze_s if self.state is State.ACTIVE else self.times.stop_s
        return self.base_s + part_s


Tell = Callable[[Armed, Exception | None], None]
"""Told of each change, after it was made, and of what went wrong with it."""


def _tell_nobody(_: Armed, __: Exception | None) -> None:
    """Do nothing."""


class Guard:
    """The armed volumes of one node."""

    def __init__(self, clock: Clock, tell: Tell = _tell_nobody) -> None:
        self._clock = clock
        self._tell = tell
        self._armed: dict[str, Armed] = {}
        self._again_s = 0.0

    def armed(self) -> list[Armed]:
        """Return what is armed, by volume; stopped ones too."""
        return [self._armed[volume] for volume in sorted(self._armed)]

    def get(self, volume: str, token: int) -> Armed | None:
        """Return what is armed under exactly this token."""
        found = self._armed.get(volume)
        return found if found is not None and found.token == token else None

    def arm(self, volume: str, token: int, times: Times, base_s: float, stopper: Stopper) -> Armed:
        """Watch over a volume from its grant on, before anything touches it; repeating is success.

        `base_s` is the first sending of the request that was granted, or of a later renewal. Raises
        Late if that is too long ago, for a token that was stopped, and while another token is armed
        that is newer or not known to be over: disarm that first.
        """
        self.tick()
        known = self._armed.get(volume)
        if known is not None and not (known.token == token or _is_over(known, token)):
            raise Late(f"volume {volume!r} is still watched under token {known.token}")
        if known is not None and known.token == token and known.state is State.STOPPED:
            raise Late(f"volume {volume!r} was stopped under token {token}, which is over for good")
        if not times.usable(base_s, self._clock.now()):
            raise Late(f"the grant of volume {volume!r} came too late to be used")
        if known is not None and known.token == token:
            self._renew(known, base_s)
            return known
        armed = Armed(volume, token, times, base_s, stopper)
        self._armed[volume] = armed
        self._tell(armed, None)
        return armed

    def resume(self, armed: Armed, renewed_s: float = 0.0) -> None:
        """Take over what an earlier guard had armed, as that left it, however late it is by now.

        `renewed_s` is the first sending of a renewal that no guard was there to hear of, if there
        was one. Until then nobody was late, so it saves whatever was not stopped.
        """
        self._armed[armed.volume] = armed
        armed.done = False  # an earlier one's stop may have been cut short
        self._renew(armed, renewed_s)

    def renew(self, base_s: float) -> None:
        """Note an acknowledged renewal, by its first sending: it holds for all of the node.

        It saves what is frozen if it is recent enough, and never what was due to be stopped: what
        is due is done first. An older one changes nothing.
        """
        self.tick()
        for armed in self.armed():
            self._renew(armed, base_s)

    def disarm(self, volume: str, token: int) -> None:
        """Let go of a volume that is not reachable here any more; another token's stays."""
        armed = self.get(volume, token)
        if armed is None:
            return
        del self._armed[volume]
        if armed.state is State.FROZEN:
            _trouble_with(armed.stopper.thaw)

    def stop(self, volume: str, token: int) -> None:
        """Stop a volume now, for its lease is gone; another token's is left alone."""
        armed = self.get(volume, token)
        if armed is not None and not armed.done:
            self._stop(armed)

    def stop_all(self) -> None:
        """Stop everything now: the session is lost, and others no longer wait for its silence."""
        for armed in self.armed():
            self.stop(armed.volume, armed.token)

    def tick(self) -> float | None:
        """Do all that is due, and return when something is due next; None if nothing will be."""
        now_s = self._clock.now()
        for armed in self.armed():
            if armed.state is State.STOPPED:
                if not armed.done and now_s >= self._again_s:
                    self._stop(armed)
            elif now_s >= armed.base_s + armed.times.stop_s:
                self._stop(armed)
            elif now_s >= armed.due_s and armed.state is State.ACTIVE:
                self._freeze(armed)
        return self._next_s(now_s)

    def _next_s(self, now_s: float) -> float | None:
        due_s = [armed.due_s for armed in self.armed() if armed.state is not State.STOPPED]
        if any(armed.state is State.STOPPED and not armed.done for armed in self.armed()):
            if self._again_s <= now_s:
                self._again_s = now_s + AGAIN_S
            due_s.append(self._again_s)
        return min(due_s, default=None)

    def _renew(self, armed: Armed, base_s: float) -> None:
        if armed.state is State.STOPPED or base_s <= armed.base_s:
            return
        armed.base_s = base_s
        if armed.state is State.FROZEN and armed.times.usable(base_s, self._clock.now()):
            armed.state = State.ACTIVE
            self._tell(armed, _trouble_with(armed.stopper.thaw))
        else:
            self._tell(armed, None)

    def _freeze(self, armed: Armed) -> None:
        armed.state = State.FROZEN  # whatever comes of it: the stop is what has to work
        self._tell(armed, _trouble_with(armed.stopper.freeze))

    def _stop(self, armed: Armed) -> None:
        """Stop for good; asked again by `tick` until it has worked."""
        before, done = armed.state, False
        armed.state = State.STOPPED
        trouble: Exception | None = None
        try:
            done = armed.stopper.stop()
        except Exception as error:  # noqa: BLE001  it is tried again, and must not end the others'
            trouble = error
        changed = before is not State.STOPPED or done != armed.done
        armed.done = done
        if changed or trouble:
            self._tell(armed, trouble)


def _is_over(known: Armed, newer: int) -> bool:
    """Say whether what is armed has seen its end before a newer token came."""
    return known.token < newer and known.state is State.STOPPED and known.done


def _trouble_with(act: Callable[[], None]) -> Exception | None:
    """Do it, and return what went wrong: that is told, and only the stop has to work."""
    try:
        act()
    except Exception as error:  # noqa: BLE001  see above
        return error
    return None


def has_to_be_armed(
    access: AccessMode, *, fencing: bool, node_local: bool, shared_store: bool
) -> bool:
    """Say whether a volume's holder has to stop by itself when it cannot renew.

    Not where nobody else waits for its silence: others may write beside it, or must cut it off at
    the storage first (it then goes on while the store is away), or cannot reach the data at all.
    """
    excludes = not compatible(access, access)
    return excludes and shared_store and not fencing and not node_local
