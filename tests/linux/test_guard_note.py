"""What volplug leaves for the next guard: read as it was written, or not at all."""

from pathlib import Path

import pytest

from volplug.linux.guard.note import Note, find, leave

_NOTE = Note("boot-1", 100.5, frozenset({("data", 7), ("other", 9)}))


def test_a_note_is_found_as_it_was_left(tmp_path: Path) -> None:
    """The last one, and it speaks of the very leases that it names."""
    leave(tmp_path, Note("boot-1", 90.0))
    leave(tmp_path, _NOTE)
    assert find(tmp_path, "boot-1", 101.0) == _NOTE
    assert (_NOTE.renewed_s("data", 7), _NOTE.renewed_s("data", 8)) == (100.5, 0.0)
    assert [file.name for file in tmp_path.iterdir()] == ["renewed"]


def test_a_note_of_another_boot_or_of_a_time_to_come_says_nothing(tmp_path: Path) -> None:
    """Its clock began anew, or it is no clock of ours."""
    leave(tmp_path, _NOTE)
    assert find(tmp_path, "boot-2", 101.0).leases == frozenset()
    assert find(tmp_path, "boot-1", 100.0).leases == frozenset()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"boot": "boot-1", "base_s": NaN, "leases": [["data", 7]]}',
     '{"boot": "boot-1", "base_s": 1, "leases": [["data"]]}'],
)  # fmt: skip
def test_nonsense_says_nothing(tmp_path: Path, text: str) -> None:
    """A guard that cannot read it starts all the same."""
    (tmp_path / "renewed").write_text(text)
    assert find(tmp_path, "boot-1", 101.0).leases == frozenset()


def test_a_note_that_cannot_be_left_is_not_missed(tmp_path: Path) -> None:
    """A full disk, or none: the next guard stops more than it would have to."""
    leave(tmp_path / "none", _NOTE)
    assert find(tmp_path / "none", "boot-1", 101.0) == Note("boot-1")
