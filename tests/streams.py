"""Streams of tests side by side: those that mostly wait for other machines, and all others.

A guest that boots and a server that comes up leave a processor idle. What is still idle then goes
to the simulation, which waits for nobody and runs as nicely as it can (simulation/conftest.py):
schedules fill the time that the other two take anyway. Within a stream one test runs
after the other, so whoever needs the machine's bridge, or a server for a whole session, shares it
with nobody. A pytest plug-in, loaded by conftest.py; without `-n` it changes nothing.

Groups of pytest-xdist's own (`--dist loadgroup`) write into a test's name, which pytest has kept
from them since 9.1.
"""

import os

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

_WAITING = ("tests/lab/", "tests/swarm/")
_FILLING = "tests/simulation/"


class Streams(LoadScopeScheduling):  # type: ignore[misc]  # see its import
    """Gives each of three workers one stream."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_FILLING):
            return "filling"
        return "waiting" if nodeid.startswith(_WAITING) else "working"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> Streams:
    """Hand the tests out by their streams."""
    return Streams(config)


def pytest_configure() -> None:
    """Forget how wide the terminal is, which pytest-xdist tells its workers by the environment."""
    os.environ.pop("COLUMNS", None)
