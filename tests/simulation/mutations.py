"""Every rule, broken on purpose: to find nothing proves nothing, until all of these are found.

Each mutation is a small patch of production's own classes; `seeds` are schedules that show it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tests.simulation import threads
from tests.simulation.schedule import Outcome, run
from tests.simulation.timeline import current
from tests.simulation.warden import SimulatedGuard, Warden
from volplug import fences, session
from volplug.errors import VolplugError
from volplug.etcd import leases, rules, sequencer
from volplug.etcd.client import Client
from volplug.etcd.rules import Ending
from volplug.etcd.sequencer import Applied, Sequencer
from volplug.etcd.wire import Words, unchanged
from volplug.guard import Guard, Level
from volplug.guarding import Claim
from volplug.ladder import Ladder
from volplug.lease import Lease
from volplug.linux.guard.fallback import Duty, Fallback
from volplug.linux.orphans import Orphans
from volplug.session import Observer, Sighting

_mutate = Sequencer.mutate
_try = Client._try
_txn = Client.txn
_down = Ladder.down
_refuse_others = fences._refuse_others
_end_of_silent = rules.end_of_silent
_live = Warden._live


def base_at_receipt() -> AbstractContextManager[object]:
    """The deadline counts from the receipt of the answer."""

    def mutate(self: Sequencer, *arguments: Any, **named: Any) -> Applied | None:
        applied = _mutate(self, *arguments, **named)
        if applied is not None:
            self.base_s = self._clock.now()
        return applied

    return patch.object(Sequencer, "mutate", mutate)


@contextmanager
def base_at_last_retry() -> Iterator[None]:
    """The deadline counts from the last retry."""

    def try_(self: Client, call: Callable[..., Any]) -> Any:
        current().sent_s = threads.boottime()
        return _try(self, call)

    def mutate(self: Sequencer, *arguments: Any, **named: Any) -> Applied | None:
        applied = _mutate(self, *arguments, **named)
        if applied is not None:
            self.base_s = current().sent_s
        return applied

    with patch.object(Client, "_try", try_), patch.object(Sequencer, "mutate", mutate):
        yield


def no_rate_factor() -> AbstractContextManager[object]:
    """W is computed as if all clocks ran alike."""

    def seconds(hold_ms: int, drain_s: float = 0.0) -> float:
        return hold_ms / 1000 + max(0.5, drain_s) + 0.5

    return patch.object(session, "silence_s", seconds)


def believed_time_to_live() -> AbstractContextManager[object]:
    """The store drops a session after 5 s, as an etcd lease may end, and takers believe it."""

    def time_to_live(hold_ms: int, drain_s: float = 0.0) -> float:
        del hold_ms, drain_s
        return 5.0

    return patch.object(session, "silence_s", time_to_live)


@contextmanager
def observed_when_sent() -> Iterator[None]:
    """An observation is stamped with the moment at which the read was sent."""

    def txn(self: Client, *arguments: Any, **named: Any) -> Any:
        current().sent_s = threads.boottime()
        return _txn(self, *arguments, **named)

    def see(self: Observer, node: str, incarnation: int, revision: int) -> Sighting:
        known = self._sightings.get((node, incarnation))
        if known is None or known.revision != revision:
            known = Sighting(revision, current().sent_s, self._utc())
            self._sightings[node, incarnation] = known
        return known

    with patch.object(Client, "txn", txn), patch.object(Observer, "see", see):
        yield


def expired_unseen() -> AbstractContextManager[object]:
    """A session is ended without a comparison of its revision."""

    def end_of_silent(*arguments: Any, **named: Any) -> Ending:
        return Ending((), _end_of_silent(*arguments, **named).then)

    return patch.object(rules, "end_of_silent", end_of_silent)


def timer_in_the_plugin() -> AbstractContextManager[object]:
    """The guard lives and stops with volplug's own process."""

    def live(self: Warden) -> None:
        tick = self.guard.tick

        def with_plugin() -> float | None:
            agent = self.world.agents.get(self.machine.name)
            while agent is None or agent.process.stopped or not agent.process.alive:
                threads.sleep(0.1)
                agent = self.world.agents.get(self.machine.name)
            return tick()

        with patch.object(self.guard, "tick", with_plugin):
            _live(self)

    return patch.object(Warden, "_live", live)


def released_before_drained() -> AbstractContextManager[object]:
    """The lease is given back before the volume is unmounted."""

    def down(self: Ladder, name: str) -> None:
        lease = self._node.leases.mine(name)
        if lease is not None and not self._node.host.users(name):
            self._node.leases.release(lease)
        _down(self, name)

    return patch.object(Ladder, "down", down)


def late_grant_used() -> AbstractContextManager[object]:
    """A grant is used whenever its answer arrives."""
    return patch.object(leases, "FREEZE_PART", float("inf"))


def granted_before_fenced() -> AbstractContextManager[object]:
    """The lease moves while the fence is still on its way."""

    def refuse_others(*arguments: Any) -> str:
        threads.Thread(lambda: _tried(*arguments)).start()
        return "a fence is on its way"

    def _tried(*arguments: Any) -> None:
        with suppress(VolplugError):  # it may fail as it likes
            _refuse_others(*arguments)

    return patch.object(fences, "_refuse_others", refuse_others)


def fenced_unseen() -> AbstractContextManager[object]:
    """A fence is aimed at a node, whatever lease that has by now: nobody looks before the blow."""

    def require_standing(*_: object) -> None:
        return

    return patch.object(fences, "_require_standing", require_standing)


@contextmanager
def mounts_kept_by_the_dead() -> Iterator[None]:
    """Who hears that its session is over keeps its mounts.

    The guard's own clock is another defence: it has stopped them by then, so it has to go, too.
    """

    def lost(_: SimulatedGuard) -> None:
        return

    def settled(_: SimulatedGuard, __: list[Lease]) -> None:
        return

    def never(_: Guard) -> float | None:
        return None

    with (
        patch.object(SimulatedGuard, "lost", lost),
        patch.object(SimulatedGuard, "begin", settled),
        patch.object(Guard, "tick", never),
    ):
        yield


def session_not_compared() -> AbstractContextManager[object]:
    """Changes do not compare the session: a node that was declared dead goes on."""

    def nothing(key: str, modified: int) -> Words:
        del key, modified
        return unchanged("/volplug/nothing", 0)

    return patch.object(sequencer, "unchanged", nothing)


@contextmanager
def orphans_left_alone() -> Iterator[None]:
    """Mount programs of an earlier life go on, and what is listed meanwhile is believed."""

    def see_none(self: Orphans, _: object) -> None:
        self._left = set()

    with patch.object(Orphans, "__init__", see_none):
        yield


def nobody_for_a_dead_guard() -> AbstractContextManager[object]:
    """A guard is dead, others count on it, and volplug does not take its part."""

    def attend(_: Fallback, __: Duty) -> float | None:
        return None

    return patch.object(Fallback, "attend", attend)


def lower_level_told_when_sent() -> AbstractContextManager[object]:
    """That nothing guards a node counts as told before the store has heard of it."""

    def say(self: Claim, level: Level) -> Level:
        self._saying = self.told = level
        return level

    return patch.object(Claim, "say", say)


@contextmanager
def nothing_broken() -> Iterator[None]:
    """Break nothing: what is broken is the limit of the level."""
    yield


@dataclass(frozen=True)
class Mutation:
    """A broken rule, where to break it, and schedules that are known to show it."""

    broken: Callable[[], AbstractContextManager[object]]
    level: int = 0
    beyond: bool = False
    seeds: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What it is called."""
        return "host_freeze_at_level_1" if self.beyond else self.broken.__name__

    def run(self, seed: int, *, tell: bool = False) -> Outcome:
        """Run a schedule with the rule broken."""
        with self.broken():
            return run(seed, level=self.level, beyond=self.beyond, tell=tell)


MUTATIONS = (
    Mutation(base_at_receipt, level=1, seeds=(0,)),
    Mutation(base_at_last_retry, level=1, seeds=(0,)),
    Mutation(no_rate_factor, seeds=(7,)),
    Mutation(believed_time_to_live, seeds=(1,)),
    Mutation(observed_when_sent, seeds=(7,)),
    Mutation(expired_unseen, seeds=(153,)),
    Mutation(timer_in_the_plugin, level=1, seeds=(152,)),
    Mutation(released_before_drained, seeds=(0,)),
    Mutation(late_grant_used, seeds=(0,)),
    Mutation(granted_before_fenced, level=3, seeds=(0,)),
    Mutation(fenced_unseen, level=3, seeds=(1,)),
    Mutation(nothing_broken, level=1, beyond=True, seeds=(36,)),
    Mutation(mounts_kept_by_the_dead, level=1, seeds=(37,)),
    Mutation(session_not_compared, seeds=(0,)),
    Mutation(nobody_for_a_dead_guard, level=1, seeds=(95,)),
    Mutation(lower_level_told_when_sent, level=1, seeds=(95,)),
    Mutation(orphans_left_alone, seeds=(2761,)),
)
