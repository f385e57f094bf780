"""The driver author's page is true: what it shows runs, and what it names exists."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import volplug.sdk
import volplug.testing
from volplug.command import run

_PAGE = Path(__file__).parent.parent / "docs" / "writing-a-driver.md"
_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _files() -> dict[str, str]:
    return {name: text for _, name, text in _BLOCK.findall(_PAGE.read_text()) if name}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return a directory with every file that the page shows."""
    for name, text in _files().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def test_page_shows_whole_files_only() -> None:
    """Each block of Python is a file that the tests below run."""
    blocks = _BLOCK.findall(_PAGE.read_text())
    assert [text for language, name, text in blocks if language == "python" and not name] == []
    assert {"volplug_export.py", "test_export.py"} <= set(_files())


def test_shown_driver_passes_the_contract(written: Path) -> None:
    """Who copies the page has a driver whose tests are green."""
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    printed = run([*pytest_, "--rootdir", written, written / "test_export.py"]).stdout
    assert re.search(r"^\d\d passed in", printed, re.MULTILINE), printed


def test_shown_driver_is_typed(written: Path) -> None:
    """It is written as mypy wants it, as strictly as volplug itself."""
    cache = written / "cache"
    run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            cache,
            written / "volplug_export.py",
        ]
    )


def test_other_blocks_can_be_run(written: Path) -> None:
    """What is shown in passing is no sketch either."""
    for name in _files():
        run([sys.executable, "-W", "error", written / name])


def test_configuration_blocks_can_be_read() -> None:
    """What is to be pasted into a file is right there."""
    blocks = [text for language, _, text in _BLOCK.findall(_PAGE.read_text()) if language == "toml"]
    assert [list(tomllib.loads(text)) for text in blocks] == [["project"], ["backends"]]


def test_names_on_the_page_exist() -> None:
    """Every class that the prose names is in the SDK or in the testing kit."""
    named = set(re.findall(r"`([A-Z]\w+[a-z]\w*)`", _PAGE.read_text()))
    public = {*volplug.sdk.__all__, *volplug.testing.__all__}
    assert named - public == {"Config", "Options", "OSError"}
