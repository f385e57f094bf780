"""What holds for every test of the project."""

from tests.no_skips import pytest_make_collect_report, pytest_runtest_makereport
from tests.streams import pytest_configure, pytest_xdist_make_scheduler
from tests.tested import pytest_runtest_logreport, pytest_sessionfinish
from tests.told import pytest_terminal_summary

__all__ = [
    "pytest_configure",
    "pytest_make_collect_report",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_xdist_make_scheduler",
]
