"""Text for a terminal: aligned columns, outlines, and moments as a person says them.

A column is as wide as a terminal draws it, not as `len` counts it: a Chinese character takes two
cells and a combining accent none, and an escape sequence in a reason must not reach the terminal.
"""

import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Any

_GAP = "  "
_UNITS = (
    ("year", 31_557_600),
    ("month", 2_629_800),
    ("day", 86_400),
    ("hour", 3600),
    ("minute", 60),
    ("second", 1),
)
_NARROWEST = 8


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], columns: int | None = None) -> str:
    """Align rows under their heads; the widest columns give way until `columns` cells suffice.

    By default that is what COLUMNS or the terminal says, and no limit where neither speaks.
    """
    lines = [list(heads), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    limit = columns if columns is not None else _columns()
    while sum(widths) + len(_GAP) * (len(widths) - 1) > limit and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return "\n".join(
        _GAP.join(_fit(cell, cells) for cell, cells in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def outline(value: Any, indent: str = "") -> str:
    """Write nested mappings and lists as indented lines."""
    if isinstance(value, Mapping):
        return "\n".join(_entry(f"{indent}{key}:", item, indent) for key, item in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(_entry(f"{indent}-", item, indent) for item in value)
    return f"{indent}{shown(value)}"


def shown(value: Any) -> str:
    """Write one value on one line, with nothing in it that a terminal would obey."""
    if value is None or value in ("", {}, [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in str(value)
    )


def width(text: str) -> int:
    """Count the cells that a text takes on a terminal."""
    return sum(_cells(letter) for letter in text)


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Say how long ago a moment was: `3 minutes ago`; `in the future` when clocks differ."""
    seconds = int(((now or datetime.now(UTC)) - moment).total_seconds())
    if seconds < -1:
        return "in the future"
    for unit, length in _UNITS:
        count = seconds // length
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def since(text: Any) -> str:
    """Say how long ago an RFC 3339 moment was; what is none is shown as it is."""
    try:
        return ago(datetime.fromisoformat(str(text)))
    except (TypeError, ValueError):
        return shown(text)


def _columns() -> int:
    if os.environ.get("COLUMNS") or sys.stdout.isatty():
        return get_terminal_size().columns
    return sys.maxsize


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


def _fit(text: str, cells: int) -> str:
    """Cut a text to so many cells, with an ellipsis, or fill it up."""
    if width(text) > cells:
        while width(text) > cells - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (cells - width(text))


def _entry(head: str, item: Any, indent: str) -> str:
    nested = item and (isinstance(item, Mapping) or _holds_more_than_words(item))
    return f"{head}\n{outline(item, indent + '  ')}" if nested else f"{head} {shown(item)}"


def _holds_more_than_words(item: Any) -> bool:
    return isinstance(item, list | tuple) and any(
        isinstance(one, Mapping | list | tuple) for one in item
    )
