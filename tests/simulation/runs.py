"""Many schedules, on several processors, with what they came to added up."""

import gc
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice

from tests.simulation.checks import Violation
from tests.simulation.schedule import Outcome, run

_BATCH = 20


@dataclass
class Sum:
    """What a number of schedules came to."""

    schedules: int = 0
    grants: int = 0
    writes: int = 0
    refused: int = 0
    readmitted: int = 0
    violations: tuple[tuple[int, Violation], ...] = ()

    def add(self, other: "Sum") -> None:
        """Add others."""
        self.schedules += other.schedules
        self.grants += other.grants
        self.writes += other.writes
        self.refused += other.refused
        self.readmitted += other.readmitted
        self.violations += other.violations

    def __str__(self) -> str:
        return (
            f"{self.schedules} schedules, {self.grants} grants, {self.writes} disk writes checked,"
            f" {self.refused} refused by a fence, {self.readmitted} mounts cleaned up when lost,"
            f" {len(self.violations)} violations"
        )


def run_all(seeds: Iterable[int], processors: int) -> Iterator[Sum]:
    """Run the schedules of all seeds, and yield what each few of them came to, in order.

    No more is begun than is asked for soon, so whoever asks no further does not wait for long.
    """
    left = iter(seeds)
    begun: deque[Future[Sum]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processors, mp_context=context) as pool:
        while True:
            while len(begun) < 2 * processors and (batch := tuple(islice(left, _BATCH))):
                begun.append(pool.submit(_run_batch, batch))
            if not begun:
                return
            yield begun.popleft().result()


def _run_batch(seeds: tuple[int, ...]) -> Sum:
    total = Sum()
    gc.disable()  # for speed: what a schedule leaves behind is collected after each few
    for seed in seeds:
        total.add(_summed(run(seed)))
    gc.enable()
    gc.collect()
    return total


def _summed(outcome: Outcome) -> Sum:
    return Sum(
        1,
        outcome.grants,
        outcome.writes,
        outcome.refused,
        outcome.readmitted,
        tuple((outcome.seed, each) for each in outcome.violations),
    )
