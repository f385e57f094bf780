"""A lab per test module, and its guests' words in the report of a failure."""

import socket
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.lab.hypervisor import Hypervisor
from tests.lab.image import image
from tests.lab.lab import Lab
from tests.lab.seed import Seed, lay_out

_LAB = pytest.StashKey[Lab]()


@pytest.fixture(scope="session")
def seed() -> Iterator[Seed]:
    """What all guests of all labs find at /seed."""
    with tempfile.TemporaryDirectory(prefix="volplug-lab-") as directory:
        yield lay_out(Path(directory), image())


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, seed: Seed) -> Iterator[Lab]:
    """Lend a lab without guests, shared by the tests of a module; its guests end with it."""
    lab = request.node.stash[_LAB] = Lab(image(), seed)
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def hypervisor(lab: Lab) -> Iterator[Hypervisor]:
    """What gives disks to guests by the orders of a simulator."""
    hypervisor = lab.hypervisor()
    yield hypervisor
    hypervisor.close()


@pytest.fixture(scope="module")
def door(lab: Lab) -> Iterator[socket.socket]:
    """Where guests reach a simulator that runs outside the lab."""
    with lab.door() as door:
        yield door


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """A way to print what was measured, seen also when the test passes."""

    def write(measured: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\nmeasured: {measured}\n")

    return write


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the guests printed to the report of a failed test, or of its fixtures."""
    report = yield
    if report.failed and (module := item.getparent(pytest.Module)):
        lab = module.stash.get(_LAB, None)
        if lab is not None:
            report.sections.append(("consoles of the guests", lab.words()))
    return report
