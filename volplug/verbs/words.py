"""What stands on a command line in words: an option, a size, a moment.

A mistake in one is told with what would have been right, before anything is asked or done.
"""

import argparse
from datetime import UTC, datetime, timedelta

from volplug.options import Size

_AGO = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def key_and_value(text: str) -> tuple[str, str]:
    """Read an option of a volume."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return key, value


def size(text: str) -> Size:
    """Read a size with its unit."""
    try:
        return Size.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def since(text: str) -> datetime:
    """Read a moment, or how long it is ago."""
    try:
        if text[-1:] in _AGO:
            return datetime.now(UTC) - timedelta(seconds=float(text[:-1]) * _AGO[text[-1]])
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither as 30m, 2h or 3d ago, nor as 2026-01-31T12:00:00Z"
        ) from error
