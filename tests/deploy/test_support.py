"""The table of drivers is what the classes and the last noted run say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import support
from volplug import registry
from volplug.driver import Fencing

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs/backends/README.md"

_TESTS = """\
import pytest
from tests import tested

@pytest.fixture(autouse=True)
def server():
    tested.against(["good"], "a server 1.0", "good/")
    tested.against(["bad"], "a server 2.0", "bad/")
"""


def test_table() -> None:
    """The page has what the generator prints, word for word."""
    wanted = support.table(json.loads(support.TESTED.read_text()))
    found = _PAGE.read_text().partition("<!-- support: generated -->\n")[2]
    assert found.partition("<!-- /support -->")[0] == wanted, f"this has to stand there:\n{wanted}"


@pytest.mark.parametrize("name", registry.names())
def test_every_driver_tells(name: str) -> None:
    """Each says how a size is kept, what limits its attachments, and what its fence proves."""
    driver = registry.load(name)
    assert driver.size_enforced
    assert driver.attach_limit
    assert not issubclass(driver, Fencing) or (driver.fence_proof and driver.late_writes)
    words = driver.size_enforced + driver.attach_limit
    assert "|" not in words, "it would end a cell of the table"


def test_note_is_of_drivers_that_there_are() -> None:
    """What was noted is of drivers that exist, and says what against and how much."""
    noted = json.loads(support.TESTED.read_text())
    assert noted.keys() <= set(registry.names())
    assert all(one["passed"] > 0 and one["against"] for one in noted.values())


def test_run_notes_what_passed(tmp_path: Path) -> None:
    """A driver with a failing test is not noted, and what was noted before stays."""
    (tmp_path / "conftest.py").write_text(
        f"from tests.tested import pytest_runtest_logreport, pytest_sessionfinish\n{_TESTS}"
    )
    for directory, outcome in (("good", "True"), ("bad", "False")):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "test_it.py").write_text(f"def test_it():\n    assert {outcome}\n")
    note = tmp_path / "note.json"
    note.write_text('{"before": {"against": "a server 0.1", "passed": 7}}')
    environment = {**os.environ, "TESTED_NOTE": str(note), "PYTHONPATH": str(_ROOT)}
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    subprocess.run(
        [*pytest_, "--rootdir", tmp_path, "--import-mode=importlib", tmp_path],
        env=environment, check=False, capture_output=True,
    )  # fmt: skip
    assert json.loads(note.read_text()) == {
        "before": {"against": "a server 0.1", "passed": 7},
        "good": {"against": "a server 1.0", "passed": 1},
    }
