"""The simulation takes what the other streams of tests leave; see tests/streams.py."""

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

_NICEST = 19


@pytest.fixture(scope="module", autouse=True)
def nice() -> Iterator[None]:
    """Run these tests, where others run beside them, when no processor is wanted by those.

    Afterwards the worker gets another stream, and is quick again if it may.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, _NICEST)
    yield
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before)
