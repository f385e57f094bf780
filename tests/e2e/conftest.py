"""Nodes for the end-to-end tests, and their daemons' words in the report of a failure."""

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.engine import Node, need_engine


@pytest.fixture(scope="module")
def bare_node() -> Iterator[Node]:
    """Lend a node with an engine and no volplug, shared by the tests of a module."""
    need_engine()
    node = Node()
    try:
        node.start_engine()
        yield node
    finally:
        node.power_off()


@pytest.fixture(scope="module")
def node(bare_node: Node) -> Node:
    """Lend a node with an engine and volplug, shared by the tests of a module."""
    bare_node.start_volplug()
    return bare_node


@contextmanager
def running_node() -> Iterator[Node]:
    """Have a node with volplug and the engine up inside the block."""
    need_engine()
    node = Node()
    try:
        node.start_volplug()
        node.start_engine()
        yield node
    finally:
        node.power_off()


@pytest.fixture
def own_node() -> Iterator[Node]:
    """Lend a node of the test's own, to be killed and rebooted; volplug and the engine are up."""
    with running_node() as node:
        yield node


@pytest.fixture(scope="module")
def restless_node() -> Iterator[Node]:
    """Lend a node whose engine and volplug the tests of a module kill and start again."""
    with running_node() as node:
        yield node


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for a volume or a container that no other test uses."""
    return re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the daemons printed to the report of a failed test."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        nodes = {value for value in item.funcargs.values() if isinstance(value, Node)}
        for node in nodes:
            report.sections.append((f"daemons of {node.name}", node.logs()))
    return report
