"""Schedules in which everything befalls a cluster, and none in which an invariant breaks.

For more: `make sim`. For one: `python -m tests.simulation SEED`.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from tests.simulation.runs import Sum, run_all
from tests.simulation.schedule import run

pytestmark = pytest.mark.timeout(3000)  # as nice as can be, beside others, it is slow

BESIDE_OTHERS = "PYTEST_XDIST_WORKER" in os.environ
SCHEDULES = int(os.environ.get("SIMULATION_SCHEDULES", "10000"))
LIMIT_S = float(os.environ.get("SIMULATION_SCHEDULES_S", "2400" if BESIDE_OTHERS else "100"))
"""Beside the other streams, as long as they take on a small machine; alone, as a person waits."""

FEWEST = 200
"""However slow a machine is, with fewer not everything happens once."""


@pytest.fixture(scope="module")
def total() -> Sum:
    """What all schedules came to, or those that a slow machine gets through in time."""
    total, began_s = Sum(), time.monotonic()
    for each in run_all(range(SCHEDULES), os.cpu_count() or 1):  # the others go first on each
        total.add(each)
        if total.schedules >= FEWEST and time.monotonic() - began_s > LIMIT_S:
            break
    return total


def test_no_schedule_breaks_an_invariant(
    total: Sum, record_property: Callable[[str, object], None]
) -> None:
    """No two may write where one may, nothing is applied twice, and all is in order at the end."""
    record_property("told", str(total))
    assert total.violations == (), f"{total}\n" + "\n".join(
        f"python -m tests.simulation {seed}: {violation}" for seed, violation in total.violations
    )


def test_schedules_are_eventful(total: Sum) -> None:
    """Leases move, disks are written to, fences refuse, and who was cut off comes back clean."""
    assert total.grants > 2 * total.schedules, str(total)
    assert total.writes > 20 * total.schedules, str(total)
    assert total.refused > 0, str(total)
    assert total.readmitted > 0, str(total)


@pytest.mark.parametrize("seed", [6, 7])
def test_a_seed_always_makes_the_same_history(seed: int) -> None:
    """Neither what ran before nor the process's own hashes make any difference."""
    run(seed + 1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        told = partial(run, seed, tell=True)
        assert pool.submit(told).result() == told()
