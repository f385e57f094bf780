"""Runs schedules: `python -m tests.simulation SEED` tells one, `--schedules N` runs many."""

import argparse
import os
import sys
import time

from tests.simulation.mutations import MUTATIONS
from tests.simulation.runs import Sum, run_all
from tests.simulation.schedule import run

_TOLD_EVERY_S = 10.0


def main() -> int:
    """Do what the command line says; return 1 if any invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="tell the history of this schedule")
    parser.add_argument(
        "--schedules", type=int, default=10_000, metavar="N", help="how many to run"
    )
    parser.add_argument("--from", type=int, default=0, metavar="SEED", dest="first")
    parser.add_argument(
        "--mutation", choices=[each.name for each in MUTATIONS], help="break a rule on purpose"
    )
    words = parser.parse_args()
    if words.seed is not None:
        return _tell(words.seed, words.mutation)
    if words.mutation is not None:
        return _search(words.mutation, range(words.first, words.first + words.schedules))
    return _run(words.first, words.schedules)


def _tell(seed: int, mutation: str | None) -> int:
    broken = [each for each in MUTATIONS if each.name == mutation]
    outcome = broken[0].run(seed, tell=True) if broken else run(seed, tell=True)
    for line in outcome.history:
        _say(line)
    for violation in outcome.violations:
        _say(f"violated: {violation}")
    return 1 if outcome.violations else 0


def _search(name: str, seeds: range) -> int:
    """Find the first schedule that shows a broken rule."""
    mutation = next(each for each in MUTATIONS if each.name == name)
    for seed in seeds:
        outcome = mutation.run(seed)
        if outcome.violations:
            _say(f"{name}: seed {seed}: {outcome.violations[0]}")
            return 1
    _say(f"{name}: not found in {len(seeds)} schedules from {seeds.start} on")
    return 0


def _run(first: int, schedules: int) -> int:
    began_s = told_s = time.monotonic()
    total = Sum()
    for each in run_all(range(first, first + schedules), os.cpu_count() or 1):
        total.add(each)
        for seed, violation in each.violations:
            _say(f"seed {seed}: {violation}\n  to see it: python -m tests.simulation {seed}")
        now_s = time.monotonic()
        if now_s - told_s >= _TOLD_EVERY_S or total.schedules == schedules:
            told_s = now_s
            rate = total.schedules / (now_s - began_s)
            _say(f"{total}; {rate:.0f} schedules/s; go on with --from {first + total.schedules}")
    return 1 if total.violations else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
