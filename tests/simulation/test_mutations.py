"""The simulation finds each rule that is broken on purpose, and nothing where it is in force.

Which schedule shows it first depends on all of production's code. So the schedules that once showed
it are tried first, and where none of them does any more, another one is looked for.
"""

from collections.abc import Callable
from itertools import chain

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.schedule import run

_LIMIT = 600
"""How many are tried, so that the search ends; leases.md 3.1 would allow 20,000."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[each.name for each in MUTATIONS])
def test_a_broken_rule_is_found(
    mutation: Mutation, record_property: Callable[[str, object], None]
) -> None:
    """A schedule violates an invariant with the rule broken, and none with the rule in force."""
    for seed in chain(mutation.seeds, range(_LIMIT)):
        if mutation.run(seed).violations:
            record_property("seed", seed)
            assert not run(seed, level=mutation.level).violations
            return
    pytest.fail(
        f"{mutation.name} was found in none of {_LIMIT} schedules; for a longer search:"
        f" python -m tests.simulation --mutation {mutation.name} --schedules 20000"
    )
