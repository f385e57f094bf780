"""Log records as single lines on standard output.

The engine turns each line that a managed plugin prints into one record of its own log, at level
error if it came on standard error (docker-contract 5.2): a traceback over thirty lines would be
thirty records, mixed with those of others.
"""

import logging
import sys


class _OneLine(logging.Formatter):
    """A formatter that folds a record, traceback included, into one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return " | ".join(line for line in super().format(record).splitlines() if line.strip())


def log_to_stdout(level: int = logging.INFO) -> None:
    """Send what the process logs to standard output, unless logging was set up already."""
    root = logging.getLogger()
    if root.handlers:
        return
    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(lines)
    root.setLevel(level)
