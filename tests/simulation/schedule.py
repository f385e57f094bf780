"""Runs one schedule: a while in which all kinds of things happen, and then a quiet end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from greenlet import GreenletExit

from tests.simulation.checks import Violation
from tests.simulation.stand_in import simulated
from tests.simulation.world import World

STORM_S = 42.0


@dataclass(frozen=True)
class Outcome:
    """What became of one schedule."""

    seed: int
    level: int
    grants: int
    writes: int
    refused: int
    readmitted: int
    ended_s: float
    violations: tuple[Violation, ...]
    history: tuple[str, ...] = ()


def run(seed: int, *, tell: bool = False, level: int = 0, beyond: bool = False) -> Outcome:
    """Run the schedule of a seed: odd ones have disks with a fence, even ones guards."""
    with simulated(), _quiet_logs():
        world = World(seed, level=level or (3 if seed % 2 else 1), tell=tell, beyond=beyond)
        if tell:
            with _told(world):
                _live(world)
        else:
            _live(world)
        world.end()
    return Outcome(
        seed,
        world.level,
        world.checks.grants,
        world.storage.writes,
        world.storage.refused,
        world.checks.readmitted,
        world.timeline.now_s,
        tuple(world.checks.violations),
        tuple(world.history or ()),
    )


def _live(world: World) -> None:
    world.begin()
    world.faults.plan(STORM_S)
    world.timeline.run(STORM_S)
    world.faults.end_all()
    world.calm()


@contextmanager
def _quiet_logs() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class _Teller(logging.Handler):
    """Puts what production logs into the history."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line down, unless it is a killed process's last."""
        if record.exc_info and record.exc_info[0] is GreenletExit:
            return
        self._world.note(f"    log {self._world.who()}: {self.format(record)}")


@contextmanager
def _told(world: World) -> Iterator[None]:
    logging.disable(logging.NOTSET)
    handler, logger = _Teller(world), logging.getLogger("volplug")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
