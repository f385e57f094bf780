"""Streams of tests side by side: those that mostly wait for other machines, and all others.

A guest that boots and a server that comes up leave a processor idle. What is still idle then goes
to the simulation, which waits for nobody and runs as nicely as it can (simulation/conftest.py).
Within a stream one test runs after the other, so whoever needs the machine's bridge, or a server
for a whole session, shares it with nobody. Each module of the lab has guests on a network of its
own, and is a stream by itself: the worker that is done with all else takes the next of them.
A pytest plug-in, loaded by conftest.py; without `-n` it changes nothing.

Groups of pytest-xdist's own (`--dist loadgroup`) write into a test's name, which pytest has kept
from them since 9.1.
"""

import os

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

_LAB = "tests/lab/"
_TOGETHER = ("tests/simulation/", "tests/swarm/")


class Streams(LoadScopeScheduling):  # type: ignore[misc]  # see its import
    """Gives each worker the stream with the most tests that nobody has yet."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_LAB):
            return nodeid.partition("::")[0]
        return next((place for place in _TOGETHER if nodeid.startswith(place)), "all others")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Streams:
    """Hand the tests out by their streams; the log is for those who debug pytest-xdist."""
    return Streams(config, log)


def pytest_configure() -> None:
    """Forget how wide the terminal is, which pytest-xdist tells its workers by the environment."""
    os.environ.pop("COLUMNS", None)
