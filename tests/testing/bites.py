"""A contract is worth what it refuses: run it on something broken, and see which tests fail.

The broken ones stand in a file that pytest does not collect by itself, as test classes. The file
is run once, in a process of its own, and each class must fail the tests that name its fault. That
it fails some test is not enough, for then anything could be the cause; and an error in a fixture
is not a failure.
"""

import functools
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from volplug.command import run

_OUTCOME = re.compile(r"^(FAILED|ERROR|PASSED) \S+?::(\w+)::(\w+)", re.MULTILINE)


def assert_bites(file: Path, broken: str, *tests: str) -> None:
    """Assert that a test class of the file fails the named tests, and passes some others."""
    outcomes = _outcomes(file)[broken]
    assert outcomes, f"{file} has no class {broken}"
    assert not outcomes["ERROR"], f"{broken} could not even be tried: {outcomes['ERROR']}"
    toothless = set(tests) - outcomes["FAILED"]
    assert not toothless, f"{broken} passes {sorted(toothless)}; it fails {outcomes['FAILED']}"
    assert outcomes["PASSED"], f"{broken} fails everything, so its fault is not what was found"


@functools.cache
def _outcomes(file: Path) -> Mapping[str, Mapping[str, set[str]]]:
    pytest = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=no", "-q", "-rA")
    printed = run([*pytest, file], expect=(0, 1)).stdout
    found: defaultdict[str, defaultdict[str, set[str]]]
    found = defaultdict(lambda: defaultdict(set))
    for outcome, broken, test in _OUTCOME.findall(printed):
        found[broken][outcome].add(test)
    return found
