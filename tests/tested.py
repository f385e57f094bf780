"""What each driver was really tested against, noted by the run itself.

A page that claims "tested with Gluster 10.3" is true on the day that it is written. Here the
fixture that starts a server says which one it is, and a run that is told where to
(`TESTED_NOTE=FILE`) writes down which of these its tests passed against. A pytest plug-in,
loaded by conftest.py.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from volplug.command import run

_against: dict[str, tuple[str, str]] = {}
_passed: Counter[str] = Counter()  # by the file of the test
_failed: set[str] = set()


def against(drivers: Iterable[str], what: str, tests: str) -> None:
    """Note what the tests try these drivers against whose files begin like that."""
    _against.update((driver, (what, tests)) for driver in drivers)


def package(name: str) -> str:
    """Return the version of a Debian package without its revision, or "of unknown version"."""
    found = run(["dpkg-query", "--show", "--showformat=${Version}", name], expect=(0, 1))
    version = found.stdout.rpartition(":")[2].rpartition("-")[0]
    return version or "of unknown version"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what passed and what did not, by file."""
    file = report.nodeid.partition("::")[0]
    if report.failed:
        _failed.add(file)
    elif report.passed and report.when == "call":
        _passed[file] += 1


def pytest_sessionfinish() -> None:
    """Write down the drivers whose tests all passed, and leave the others as they were."""
    place = os.environ.get("TESTED_NOTE")
    if place:
        file = Path(place)
        found = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(found | _results(), indent=2, sort_keys=True) + "\n")


def _results() -> dict[str, dict[str, str | int]]:
    results: dict[str, dict[str, str | int]] = {}
    for driver, (what, tests) in _against.items():
        passed = sum(count for file, count in _passed.items() if file.startswith(tests))
        if passed and not any(file.startswith(tests) for file in _failed):
            results[driver] = {"against": what, "passed": passed}
    return results
