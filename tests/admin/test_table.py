"""Text for a terminal."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volplug.admin.table import ago, outline, shown, since, table, width

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_alignment_counts_cells() -> None:
    """A Chinese character takes two cells and a combining accent none."""
    assert table(("A", "B"), [("資料", 1), ("e\u0301", 2)], 80) == "A     B\n資料  1\ne\u0301     2"


@pytest.mark.parametrize("columns", [20, 30, 40])
def test_the_widest_give_way(columns: int) -> None:
    """A line never takes more cells than there are, while columns can still be cut."""
    drawn = table(("ONE", "TWO"), [("short", "資" * 40)], columns)
    assert max(map(width, drawn.splitlines())) <= columns
    assert drawn.splitlines()[1].startswith("short  資")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (185, "3 minutes ago"),
        (7200, "2 hours ago"),
        (86400 * 40, "1 month ago"),
        (86400 * 800, "2 years ago"),
        (-60, "in the future"),
    ],
)
def test_ago(seconds: int, words: str) -> None:
    """Moments are told as a person says them, and skewed clocks are not hidden."""
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_since() -> None:
    """What is no moment is shown as it is."""
    assert since("2001-01-01T00:00:00Z").endswith("years ago")
    assert (since(None), since("soon")) == ("-", "soon")


def test_outline() -> None:
    """Nested facts are indented below their names, and nothing is shown as a dash."""
    value = {"a": {"b": [1, {"c": True}], "d": {}}, "e": None, "f": ["g", "h"]}
    assert outline(value) == "a:\n  b:\n    - 1\n    -\n      c: yes\n  d: -\ne: -\nf: g, h"


@given(st.text())
def test_nothing_that_a_terminal_obeys(text: str) -> None:
    """Whatever stands in a reason or an option, no control character reaches the terminal."""
    assert shown(text).isprintable()


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5), st.integers(1, 200))
def test_any_table(rows: list[tuple[str, str]], columns: int) -> None:
    """Any text makes a table of as many lines as there are rows, and one for the heads."""
    assert len(table(("A", "B"), rows, columns).split("\n")) == len(rows) + 1
