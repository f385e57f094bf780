"""Messages that are late, lost, or come twice, and the members of a store behind them."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeAlias

from tests.simulation.register import Register
from tests.simulation.timeline import Task, Timeline

Reply: TypeAlias = Callable[[dict[str, Any] | None], None]

LOST = 0.02
TWICE = 0.03
LATEST_S = 12.0
"""No message is on its way for longer."""


class Network:
    """Everything that is under way between machines, members and storage."""

    def __init__(self, timeline: Timeline, random: Random) -> None:
        self.timeline = timeline
        self.random = random
        self.quiet = False
        self._cut: dict[tuple[str, str], int] = {}

    def cut(self, one: str, other: str) -> None:
        """Let nothing through between two any more; as often as this, it must be mended."""
        for pair in ((one, other), (other, one)):
            self._cut[pair] = self._cut.get(pair, 0) + 1

    def mend(self, one: str, other: str) -> None:
        """Take one cut back."""
        for pair in ((one, other), (other, one)):
            self._cut[pair] -= 1

    def send(
        self, sender: str, receiver: str, call: Callable[..., object], *arguments: Any
    ) -> None:
        """Let a call happen at the receiver: once in most cases, later, twice, or not at all."""
        if self._cut.get((sender, receiver)):
            return
        self._carry(call, arguments)
        if not self.quiet and self.random.random() < TWICE:
            self._carry(call, arguments)

    def _carry(self, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        chance = self.random.random()
        if self.quiet:
            delay_s = 0.001 + 0.002 * chance
        elif chance < LOST:
            return
        elif chance < LOST + 0.02:
            delay_s = self.random.uniform(0.05, 1.5)
        elif chance < LOST + 0.025:
            delay_s = self.random.uniform(1.5, LATEST_S)
        else:
            delay_s = 0.001 + 0.004 * chance
        self.timeline.after(delay_s, call, *arguments)


class Member:
    """One member of the store: it answers, or is stuck with what it was asked, or is down."""

    def __init__(self, name: str, cluster: "Cluster") -> None:
        self.name = name
        self.stuck = 0
        self.down = 0
        self._cluster = cluster
        self._queue: list[tuple[Mapping[str, Any], Reply]] = []

    def ask(self, body: Mapping[str, Any], reply: Reply) -> None:
        """Take a request."""
        if self.down:
            reply(None)
        elif self.stuck or not self._cluster.quorum:
            self._queue.append((body, reply))
        else:
            self._commit_soon(body, reply)

    def settle(self) -> None:
        """Commit what has piled up, or forget it, as chance will have it."""
        if self.stuck or not self._cluster.quorum:
            return
        waiting, self._queue = self._queue, []
        for body, reply in waiting:
            if self._cluster.random.random() < 0.8:
                self._commit_soon(body, reply)

    def _commit_soon(self, body: Mapping[str, Any], reply: Reply) -> None:
        chance = self._cluster.random.random()
        lag_s = 0.001 + 0.002 * chance
        if chance > 0.99 and not self._cluster.quiet:
            lag_s = (chance - 0.99) * 300  # up to 3 s
        self._cluster.timeline.after(lag_s, self._commit, body, reply)

    def _commit(self, body: Mapping[str, Any], reply: Reply) -> None:
        if not self._cluster.quorum:
            self._queue.append((body, reply))
            return
        reply(self._cluster.register.txn(body))


class Cluster:
    """All members of the store, and what they agree on."""

    def __init__(self, register: Register, timeline: Timeline, random: Random, size: int) -> None:
        self.register = register
        self.timeline = timeline
        self.random = random
        self.out = 0
        self.quiet = False
        self.members = [Member(f"etcd-{number}", self) for number in range(size)]

    @property
    def quorum(self) -> bool:
        """Whether anything can be committed."""
        return not self.out

    def settle(self) -> None:
        """Let every member go on that can."""
        for member in self.members:
            member.settle()


class Call:
    """A question of a task to somebody, and the answer if one came."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._waiting = False
        self.answered = False
        self.answer: Any = None
        self.given_up = False

    def reply(self, answer: Any) -> None:
        """Take the first answer; called where the task lives, by the network."""
        if not self.answered:
            self.answered, self.answer = True, answer
            if self._waiting:
                self._task.wake()

    def wait(self, seconds: float | None) -> bool:
        """Wait that many seconds of true time, or for ever; say whether the answer is there."""
        if not self.answered:
            self._waiting = True
            self._task.park(seconds)
            self._waiting = False
        return self.answered
