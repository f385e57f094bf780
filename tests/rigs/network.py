"""A network that never leaves this machine: a bridge, and hosts that are network namespaces.

Servers for tests run in a host of their own, so that they have the usual ports, an address that
their clients see, and a name under which all they started can be ended again.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

_BRIDGE_ADDRESS = 254
_NUMBERS = 250


class Network:
    """The bridge; this machine has the last address on it."""

    def __init__(self) -> None:
        number = _free_number()
        self.prefix = f"10.213.{number}"
        self.address = f"{self.prefix}.{_BRIDGE_ADDRESS}"
        self._name = f"vpg{number}"
        self._hosts: list[Host] = []
        self._joined: set[int] = set()
        # A bridge takes the lowest address of its ports for its own, and so changes it as they come
        # and go; whoever remembers the last one talks to nobody for half a minute.
        ip("link", "set", self._name, "address", f"02:00:0a:d5:{number:02x}:fe")
        ip("address", "add", f"{self.address}/24", "dev", self._name)
        ip("link", "set", self._name, "up")

    def host(self, number: int) -> "Host":
        """Add a host with that number as its address."""
        host = Host(f"{self._name}n{number}", f"{self.prefix}.{number}", self._name)
        self._hosts.append(host)
        return host

    def join(self, process: int, number: int) -> None:
        """Give the network namespace of a process an address here; it goes when that does.

        The kernel takes its time for that, so what is left of an earlier one is removed before.
        """
        link = self._link(number)
        remove(link)
        self._joined.add(number)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(process))
        ip("link", "set", link, "master", self._name, "up")
        for words in (
            ("address", "add", f"{self.prefix}.{number}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            run("nsenter", "--net", f"--target={process}", "ip", *words)

    def unplug(self, number: int) -> None:
        """Pull the cable of one that joined: nothing passes, and nobody is told."""
        ip("link", "set", self._link(number), "down")

    def plug_in(self, number: int) -> None:
        """Plug it in again; plugged in already is success."""
        ip("link", "set", self._link(number), "up")

    def close(self) -> None:
        """End everything that runs in the hosts, and remove them."""
        for host in self._hosts:
            host.close()
        for number in self._joined:
            remove(self._link(number))
        ip("link", "delete", self._name)

    def _link(self, number: int) -> str:
        return f"{self._name}p{number}"


_tried = count(os.getpid())


def _free_number() -> int:
    """Make a bridge under a number that no other run of tests has at the moment.

    Nor did this one have it before, as long as there are others: a link outlives the name of its
    namespace for as long as the kernel takes to clear that away.
    """
    for number in (each % _NUMBERS for each in islice(_tried, _NUMBERS)):
        name = f"vpg{number}"
        if not any(_left_of(name)):
            ip("link", "add", name, "type", "bridge")
            return number
    raise AssertionError(f"{_NUMBERS} networks are left over: ip link delete vpg…")


def _left_of(name: str) -> Iterator[Path]:
    for place in ("/sys/class/net", "/run/netns"):
        yield from Path(place).glob(name)
        yield from Path(place).glob(f"{name}[np]*")


class Host:
    """A network namespace with one address."""

    def __init__(self, name: str, address: str, bridge: str) -> None:
        self.name, self.address = name, address
        ip("netns", "add", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", name, "master", bridge, "up")
        self.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "link", "set", "lo", "up")

    def argv(self, *words: str | os.PathLike[str]) -> list[str]:
        """Return the command that runs a program in this host."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def run(self, *words: str | os.PathLike[str]) -> str:
        """Run a program there to its end and return what it printed."""
        return run(*self.argv(*words))

    def processes(self) -> list[int]:
        """Return the ids of what runs there."""
        return [int(word) for word in ip("netns", "pids", self.name).split()]

    def send(self, what: signal.Signals) -> None:
        """Send a signal to everything that runs there."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, what)

    def close(self) -> None:
        """End everything there and remove the host."""
        self.send(signal.SIGKILL)
        until(lambda: not self.processes(), "the end of the host's processes")
        ip("netns", "delete", self.name)
        remove(self.name)


def run(*words: str | os.PathLike[str]) -> str:
    """Run a program and return what it printed; its failure shows its own words."""
    done = subprocess.run(list(words), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    return done.stdout


def ip(*words: str) -> str:
    """Run iproute2's command."""
    return run("ip", *words)


def exists(link: str) -> bool:
    """Say whether this machine has a link of that name."""
    return Path(f"/sys/class/net/{link}").exists()


def remove(link: str) -> None:
    """Remove a link; one that is gone, or goes in this moment with its other end, is success."""
    if exists(link):
        subprocess.run(["ip", "link", "delete", link], capture_output=True, check=False, timeout=60)


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Poll until the condition holds; fail, naming what was awaited, when it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


def start(argv: Sequence[str], log: Path, **environment: str) -> "subprocess.Popen[bytes]":
    """Start a program that stays."""
    with log.open("ab") as words:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env=os.environ | environment
        )
