"""Containers that write what they promise to keep, and a node that takes a volume over from them.

Every line of a writer's is on the disk, or at the server, before the writer says so: what was said
must be found by whoever has the volume next.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.box import poll
from tests.lab.node import PYTHON, Node

LOG = "/data/log"
WRITER = "/seed/writer.py"
PATIENCE_S = 240.0
_TROUBLE = r"(docker: .*|\{.*|Traceback.*)"
"""The first words of an engine, a runtime, or Python, when there is no use in waiting on."""


class Writing:
    """A container on a node that writes numbered lines to the volume's log, each made safe."""

    def __init__(self, node: Node, name: str) -> None:
        self.node, self.name = node, name

    @classmethod
    def start(cls, node: Node, volume: str, name: str) -> "Writing":
        """Start one; do not wait."""
        node.start_container(name, volume, *PYTHON, WRITER, LOG, name)
        return cls(node, name)

    def acknowledged(self) -> list[str]:
        """Return the lines that were told to be safe."""
        return [f"{self.name} {number}" for number in self._told(r"wrote (\d+)")]

    def failures(self) -> list[str]:
        """Return what was told of writes that failed."""
        return self._told(r"failed (.*)")

    def goes_on(self) -> None:
        """Return once it has written some lines more."""
        count = len(self.acknowledged())
        self.wait(lambda: len(self.acknowledged()) > count + 10, "to write")

    def lines(self) -> list[str]:
        """Return the log as its container reads it."""
        return self.node.docker("exec", self.name, "/bin/cat", LOG).ok().splitlines()

    def end(self) -> None:
        """Kill it."""
        self.node.docker("kill", self.name).ok()

    def wait(self, condition: Callable[[], bool], awaited: str) -> None:
        """Return once a condition holds; fail the test if it never does."""
        awaited = f"the container {self.name} {awaited}"
        poll(lambda: condition() or bool(self._told(_TROUBLE)), awaited, PATIENCE_S)
        assert not self._told(_TROUBLE)

    def _told(self, what: str) -> list[str]:
        return re.findall(f"^{self.name}: {what}\r?$", self.node.said(), re.MULTILINE)


@dataclass(frozen=True)
class Takeover:
    """How another node came to have the volume: in how long, and what it found there."""

    seconds: float
    acknowledged: list[str]
    found: list[str]
    by: Writing


def take_over(node: Node, volume: str, name: str, writing: Writing) -> Takeover:
    """Start a writer that reads first, at the moment at which the volume's holder fell silent."""
    began_s = time.monotonic()
    script = f"echo running; cat {LOG}; exec {' '.join(PYTHON)} {WRITER} {LOG} {name}"
    node.start_container(name, volume, "/bin/sh", "-euc", script)
    other = Writing(node, name)
    other.wait(lambda: f"{name}: running" in node.said(), "to run")
    seconds = time.monotonic() - began_s
    acknowledged = writing.acknowledged()
    other.goes_on()
    found = re.findall(f"^{name}: ([a-z]+ [0-9]+)\r?$", node.said(), re.MULTILINE)
    return Takeover(seconds, acknowledged, [line for line in found if "wrote" not in line], other)


def numbered(name: str, count: int) -> list[str]:
    """Return the first lines of a writer's."""
    return [f"{name} {number}" for number in range(1, count + 1)]
