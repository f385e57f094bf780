"""The promises of opening.py: a store that is away keeps nobody waiting, and is waited for."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from volplug.deadline import deadline, wait_until
from volplug.errors import HostError, Unavailable, VolplugError
from volplug.mount_table import MountRow
from volplug.opening import Opening
from volplug.session import utc_now
from volplug.testing import MemoryMounts


@dataclass
class Node:
    """What is started."""

    name: str

    def mount(self, volume: str) -> str:
        """Do something that needs the store."""
        return f"{volume} on {self.name}"

    def unmount(self, volume: str, mount_id: str) -> None:
        """Note the end of a use."""
        self.name += f" without {volume} {mount_id}"

    def activated(self) -> None:
        """Do by itself what was done for it before."""
        self.name += "!"


class Starts:
    """A start that fails as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    def __call__(self) -> Node:
        """Fail, or start."""
        if self.failures:
            raise self.failures.pop(0)
        return Node("n1")


def opening(start: Callable[[], Node], table: MemoryMounts | None = None) -> Opening[Node]:
    """An opening that tries again at once."""
    return Opening(start, table or MemoryMounts(), give_up=lambda: None, retry_s=0.001)


def test_store_that_is_there() -> None:
    """Nothing is late when the store answers."""
    one = opening(Starts())
    one.begin()
    node = one.late(lambda node: node)
    assert node.mount("data") == "data on n1"
    node.activated()
    assert node.name == "n1!"


def test_store_that_comes() -> None:
    """Until the store is there every use is refused with the reason; then all goes on."""
    come = threading.Event()

    def start() -> Node:
        if not come.is_set():
            raise Unavailable("no member answered")
        return Node("n1")

    one = opening(start)
    one.begin()
    node = one.late(lambda node: node)
    with pytest.raises(Unavailable, match=r"^the store is away, .*: no member answered$"):
        node.mount("data")
    come.set()
    with deadline(30.0):
        wait_until(lambda: _answers(node), "the start", poll_s=0.001)


def _answers(node: Node) -> bool:
    try:
        return node.mount("data") == "data on n1"
    except Unavailable:
        return False


def test_what_no_engine_says_twice_is_noted_meanwhile() -> None:
    """A new engine and the end of a container are in the node's table when the store comes."""
    table = MemoryMounts()
    table.put(MountRow("data", "n1", "c1", 2, 0, "boot-1", utc_now()))

    def start() -> Node:
        raise Unavailable("away")

    one = Opening(start, table, give_up=lambda: None, retry_s=1000.0)
    one.begin()
    node = one.late(lambda node: node)
    node.activated()
    node.unmount("data", "c1")
    node.unmount("data", "unknown")
    assert (table.epoch(), [row.count for row in table.rows()]) == (1, [1])


@pytest.mark.parametrize("refusal", [HostError("another machine's"), Exception("a bug")])
def test_refusal_at_once_is_raised(refusal: Exception) -> None:
    """What no waiting mends ends the start, as it always did."""
    with pytest.raises(type(refusal)):
        opening(Starts(refusal)).begin()


@pytest.mark.parametrize("refusal", [HostError("another machine's"), Exception("a bug")])
def test_refusal_later_ends_the_process(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that comes and refuses us is told in the log, and the process is begun anew."""
    given_up = threading.Event()
    one = Opening(
        Starts(Unavailable("away"), refusal), MemoryMounts(), give_up=given_up.set, retry_s=0.001
    )
    one.begin()
    assert given_up.wait(30.0)
    words = "another machine's" if isinstance(refusal, VolplugError) else "could not begin"
    assert words in caplog.text
