"""Virtual time, and the tasks that live in it: one heap of events, one thread, no real waiting.

Production code blocks: it sleeps, waits for locks, and calls a store that takes its time. Here each
of its threads is a greenlet, and every place where it would block switches to the heap instead. So
code that was never written for a simulation runs in one, unchanged, and the same seed always makes
the same history.
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.clock import HostClock


class Timeline:
    """True time in seconds, which no simulated clock shows, and what is to happen in it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.hub = getcurrent()
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._numbers = itertools.count()

    def after(self, delay_s: float, call: Callable[..., object], *arguments: Any) -> None:
        """Call something later; what is due at the same moment comes in the order of asking."""
        due_s = self.now_s + delay_s
        heapq.heappush(self._events, (due_s, next(self._numbers), call, arguments))

    def run(self, until_s: float) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until_s:
            self.now_s, _, call, arguments = heapq.heappop(events)
            call(*arguments)
        self.now_s = until_s


class Process:
    """A process of a simulated machine: it can be stopped, continued, and killed at any switch."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        clock: HostClock,
        failed: Callable[["Process", BaseException], None],
    ) -> None:
        """`failed` is told of an exception that nobody caught, which is a bug somewhere."""
        self.name = name
        self.timeline = timeline
        self.clock = clock
        self.alive = True
        self.owner: Any = None
        self._failed = failed
        self._stops = 0
        self._tasks: dict[Task, None] = {}
        self._waiting: list[tuple[Task, int, bool]] = []

    def spawn(self, work: Callable[[], object], delay_s: float = 0.0) -> "Task":
        """Begin a thread of this process."""
        task = Task(self, work)
        self._tasks[task] = None
        self.timeline.after(delay_s, task.resume, 0, True)
        return task

    def stop(self) -> None:
        """Let it run no further, as SIGSTOP does; as often as this, it must be continued."""
        self._stops += 1

    def go_on(self) -> None:
        """Let it run on; what came for it meanwhile comes now, in that order."""
        self._stops -= 1
        if not self._stops:
            waiting, self._waiting = self._waiting, []
            for task, turn, outcome in waiting:
                self.timeline.after(0.0, task.resume, turn, outcome)

    @property
    def stopped(self) -> bool:
        """Whether it runs no further for now."""
        return self._stops > 0

    def kill(self) -> None:
        """End it where it stands, as SIGKILL does; not to be called by one of its own tasks."""
        self.alive = False
        for task in list(self._tasks):
            task.throw(GreenletExit)
        self._tasks.clear()

    def end(self) -> None:
        """End it from within."""
        self.alive = False
        self.timeline.after(0.0, self.kill)
        raise GreenletExit

    def check_alive(self) -> None:
        """Let nothing happen that the `finally` blocks of a killed process still try to do."""
        if not self.alive:
            raise GreenletExit

    def hold(self, task: "Task", turn: int, outcome: bool) -> None:
        """Keep a wake-up until the process goes on."""
        self._waiting.append((task, turn, outcome))

    def ended(self, task: "Task", error: BaseException | None) -> None:
        """Forget a task; an error that it did not catch is a bug."""
        self._tasks.pop(task, None)
        if error is not None and self.alive:
            self._failed(self, error)


class Task(greenlet):
    """A thread of a simulated process."""

    def __init__(self, process: Process, work: Callable[[], object]) -> None:
        super().__init__(self._live, process.timeline.hub)
        self.process = process
        self._work = work
        self._turn = 0
        self.sent_s = 0.0
        """When it last sent a request, for those who break a rule by it."""
        self.aimed = 0
        """The token that it last required a fence for."""
        self.listed_s = 0.0
        """When it last learned whom the storage admits."""

    def _live(self, _: object) -> None:
        error: BaseException | None = None
        try:
            self._work()
        except GreenletExit:
            pass
        except BaseException as problem:  # noqa: BLE001  it is told, with its traceback
            error = problem
        self.process.ended(self, error)

    def park(self, seconds: float | None = None) -> bool:
        """Wait until woken, which is True, or for so many seconds of true time, which is False."""
        self.process.check_alive()
        if seconds is not None:
            self.process.timeline.after(seconds, self.resume, self._turn, False)
        woken: bool = self.process.timeline.hub.switch()
        return woken

    def wake(self) -> None:
        """End its waiting at this moment."""
        self.process.timeline.after(0.0, self.resume, self._turn, True)

    def resume(self, turn: int, outcome: bool) -> None:
        """Run on, unless that turn is over; called by the timeline."""
        if turn != self._turn or self.dead:
            return
        if self.process.stopped:
            self.process.hold(self, turn, outcome)
            return
        self._turn += 1
        self.switch(outcome)


def current() -> Task:
    """Return the task that runs now."""
    task = getcurrent()
    assert isinstance(task, Task), "only simulated threads may wait"
    return task
