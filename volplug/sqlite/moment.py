"""Moments as text in the store: UTC, sortable, and readable with any sqlite3 shell."""

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """Write a moment down; one without a time zone is a bug, for it means another on each node."""
    assert moment.tzinfo is not None, f"{moment} has no time zone"
    return moment.astimezone(UTC).isoformat()


def from_text(text: str) -> datetime:
    """Read a moment that `to_text` wrote."""
    return datetime.fromisoformat(text)
