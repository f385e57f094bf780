"""What tests found out about themselves, at the end of the run: how many schedules fitted in.

How far a test got within its time is no failure, and would be seen by nobody. A pytest plug-in,
loaded by conftest.py.
"""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the properties that passed tests have recorded as sentences."""
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", ()):
            if name == "told" and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid}: {value}")
