"""Tests of the rule that a suite cannot turn green by skipping."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Every way to skip, and one thing that pytest itself reports as a skip although it is none.
MODULES = {
    "test_call.py": """
import pytest
def test_that_skips():
    pytest.skip("needs a printer")
""",
    "test_mark.py": """
import pytest
@pytest.mark.skipif(True, reason="needs ink")
def test_that_skips(): ...
""",
    "test_fixture.py": """
import pytest
@pytest.fixture
def printer():
    pytest.skip("needs paper")
def test_that_skips(printer): ...
""",
    "test_module.py": """
import pytest
pytest.skip("needs power", allow_module_level=True)
""",
    "test_expected.py": """
import pytest
@pytest.mark.xfail(reason="known", strict=True)
def test_that_fails():
    assert False
""",
}


def run_pytest(directory: Path, ci: str) -> "subprocess.CompletedProcess[str]":
    """Run those modules in a pytest of their own, with the rule loaded."""
    for name, source in MODULES.items():
        (directory / name).write_text(source)
    (directory / "pytest.ini").write_text("[pytest]\n")
    words = ["-p", "tests.no_skips", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    where = [f"--rootdir={directory}", f"-c={directory / 'pytest.ini'}", str(directory)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words, *where],
        cwd=ROOT,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_skip_fails_and_says_why_under_ci(tmp_path: Path) -> None:
    """With CI=true every kind of skip fails and shows its reason; an xfail is no skip."""
    run = run_pytest(tmp_path, ci="true")
    assert run.returncode != 0
    assert "CI=true allows no skips" in run.stdout
    for reason in ("needs a printer", "needs ink", "needs paper", "needs power"):
        assert reason in run.stdout
    assert "1 failed, 1 xfailed, 3 errors" in run.stdout


def test_a_skip_stays_a_skip_elsewhere(tmp_path: Path) -> None:
    """Without CI=true a skip is only a skip."""
    run = run_pytest(tmp_path, ci="")
    assert run.returncode == 0
    assert "4 skipped, 1 xfailed" in run.stdout
