"""The guard's part, taken by the agent's own process while no guard answers: the last line.

A guard that has died is started anew; where none can be had, the node says so, and others stop
counting on it once a renewal with these words was acknowledged. If the store goes away before that,
they wait for a stop that nobody would make. So the agent makes it, by the guard's own rules.

It uses nothing that may be what keeps a guard from being had: no program, no file, no lock that is
held while one is sought, and no log, whose reader may be stuck.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from volplug.guard import Armed, Clock, Guard, State, Stopper, Tell, Times

Lease: TypeAlias = tuple[str, int]
"""A volume, and the token under which it is here."""


class StagedStopper(Stopper, Protocol):
    """A stopper that is told whether its volume's way up is over; see stopping.py."""

    staged: bool


@dataclass(frozen=True, slots=True)
class Duty:
    """What the agent knows at one moment.

    `mine` has the token of each volume that is here or on its way, and whether its way up is over.
    `base_s` is the first sending of the last acknowledged renewal, `heard_s` that of the last one
    that a guard heard of. `alone` says that others count on a guard while none answers for all.
    """

    mine: Mapping[str, tuple[int, bool]]
    base_s: float
    heard_s: float
    alone: bool


class Fallback:
    """What a guard would do for one agent, done while that agent is alone.

    What it froze or stopped it sees through, also when a guard is back: that one finds the same
    due, for it knows of no later renewal, and neither minds what the other has done already.
    """

    def __init__(
        self,
        clock: Clock,
        times: Times,
        stopper: Callable[[str, int], StagedStopper],
        tell: Tell = lambda *_: None,
    ) -> None:
        """`stopper` makes what stops a volume under a token; `tell` must not wait."""
        self.stopped: frozenset[Lease] = frozenset()
        """What it has stopped, for as long as that is the agent's."""
        self._clock = clock
        self._times = times
        self._stopper = stopper
        self._guard = Guard(clock, tell)
        self._stoppers: dict[Lease, StagedStopper] = {}
        self._mutex = threading.Lock()

    def attend(self, duty: Duty) -> float | None:
        """Do all that is due, and return when something is due next; None if nothing will be."""
        with self._mutex:
            self._let_go(duty)
            if duty.alone:
                self._take_over(duty)
            self._guard.renew(duty.base_s)
            next_s = self._guard.tick()
            self._note_stopped()
            return next_s

    def stop_all(self, duty: Duty) -> None:
        """Begin to stop everything now, for the session is lost."""
        with self._mutex:
            self._take_over(duty)
            self._guard.stop_all()
            self._note_stopped()

    def _let_go(self, duty: Duty) -> None:
        """Forget what is not the agent's any more, and what a guard can see to from its start."""
        for armed in self._guard.armed():
            token, staged = duty.mine.get(armed.volume, (0, False))
            stopper = self._stoppers[armed.volume, armed.token]
            stopper.staged = stopper.staged or staged
            if token != armed.token or (armed.state is State.ACTIVE and not duty.alone):
                self._guard.disarm(armed.volume, armed.token)
                del self._stoppers[armed.volume, armed.token]

    def _take_over(self, duty: Duty) -> None:
        now_s = self._clock.now()
        for volume, (token, staged) in duty.mine.items():
            if self._guard.get(volume, token) is not None:
                continue
            stopper = self._stopper(volume, token)
            stopper.staged = staged
            usable = self._times.usable(duty.base_s, now_s)
            if usable and not self._times.usable(duty.heard_s, now_s):
                with suppress(OSError):  # the guard may have frozen it, and not heard of more
                    stopper.thaw()
            self._stoppers[volume, token] = stopper
            self._guard.resume(Armed(volume, token, self._times, duty.base_s, stopper))

    def _note_stopped(self) -> None:
        self.stopped = frozenset(
            (armed.volume, armed.token)
            for armed in self._guard.armed()
            if armed.state is State.STOPPED
        )
