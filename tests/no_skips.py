"""With CI=true a skipped test is a failed test, which shows the reason of the skip.

A suite can turn green by skipping all that matters. On a developer's machine a skip is a courtesy;
where CI speaks for the project it is a hole. A pytest plug-in, loaded by conftest.py.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test into its failure."""
    report = yield
    return _fail_a_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a collection error."""
    report = yield
    return _fail_a_skip(report)


def _fail_a_skip(report: Report) -> Report:
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI=true allows no skips, and this was one. {reason}"
    return report
