"""A network that never leaves this machine: a bridge, and hosts that are network namespaces.

Servers for tests run in a host of their own, so that they have the usual ports, an address that
their clients see, and a name under which all they started can be ended again. The bridge is in a
namespace too, where the firewall of a Docker Engine on this machine, which drops what is forwarded
between others' ports, has no say.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

_BRIDGE = "bridge"
_MACHINE_ADDRESS = 254
_NUMBERS = 250


class Network:
    """The bridge; this machine has the last address on it."""

    def __init__(self) -> None:
        number = _free_number()
        self.prefix = f"10.213.{number}"
        self.address = f"{self.prefix}.{_MACHINE_ADDRESS}"
        self._name = f"vpg{number}"
        self._hosts: list[Host] = []
        # A bridge takes the lowest address of its ports for its own, and so changes it as they come
        # and go; whoever remembers the last one talks to nobody for half a minute.
        address = f"02:00:0a:d5:{number:02x}:fe"
        ip("-n", self._name, "link", "add", _BRIDGE, "address", address, "type", "bridge")
        ip("-n", self._name, "link", "set", _BRIDGE, "up")
        self._plug("machine", self._name, str(os.getpid()))
        ip("address", "add", f"{self.address}/24", "dev", self._name)
        ip("link", "set", self._name, "up")

    def host(self, number: int) -> "Host":
        """Add a host with that number as its address."""
        host = Host(f"{self._name}n{number}")
        self._hosts.append(host)
        self._plug(_port(number), "eth0", host.name)
        host.settle(f"{self.prefix}.{number}")
        return host

    def join(self, process: int, number: int) -> None:
        """Give the network namespace of a process an address here; it goes when that does.

        The kernel takes its time for that, so what is left of an earlier one is removed before.
        """
        if self._has(_port(number)):
            ip("-n", self._name, "link", "delete", _port(number))
        self._plug(_port(number), "eth0", str(process))
        for words in (
            ("address", "add", f"{self.prefix}.{number}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            run("nsenter", "--net", f"--target={process}", "ip", *words)

    def unplug(self, number: int) -> None:
        """Pull the cable of one that joined: nothing passes, and nobody is told."""
        ip("-n", self._name, "link", "set", _port(number), "down")

    def plug_in(self, number: int) -> None:
        """Plug it in again; plugged in already is success."""
        ip("-n", self._name, "link", "set", _port(number), "up")

    def close(self) -> None:
        """End everything that runs in the hosts, and remove them; all cables end with the bridge's.

        The kernel takes its time for that, too.
        """
        for host in self._hosts:
            host.close()
        ip("netns", "delete", self._name)
        until(lambda: not _exists(self._name), "the end of the network's cables", 60)

    def _plug(self, port: str, end: str, where: str) -> None:
        """Lay a cable from a port of the bridge to a namespace, by its name or a process in it."""
        ip("-n", self._name, "link", "add", port, "type", "veth", "peer", "name", end,
           "netns", where)  # fmt: skip
        ip("-n", self._name, "link", "set", port, "master", _BRIDGE, "up")

    def _has(self, port: str) -> bool:
        words = ["ip", "-n", self._name, "link", "show", port]
        return not subprocess.run(words, capture_output=True, check=False, timeout=60).returncode


def _port(number: int) -> str:
    return f"port{number}"


_tried = count(os.getpid())


def _free_number() -> int:
    """Make a namespace for a bridge under a number that no other run of tests has at the moment.

    Nor did this one have it before, as long as there are others: a link outlives the name of its
    namespace for as long as the kernel takes to clear that away.
    """
    for number in (each % _NUMBERS for each in islice(_tried, _NUMBERS)):
        name = f"vpg{number}"
        if not any(_left_of(name)):
            ip("netns", "add", name)
            return number
    raise AssertionError(f"{_NUMBERS} networks are left over: ip netns delete vpg…")


def _left_of(name: str) -> Iterator[Path]:
    for place in ("/sys/class/net", "/run/netns"):
        yield from Path(place).glob(name)
        yield from Path(place).glob(f"{name}n*")


def _exists(link: str) -> bool:
    """Say whether this machine has a link of that name."""
    return Path(f"/sys/class/net/{link}").exists()


class Host:
    """A network namespace with one address."""

    def __init__(self, name: str) -> None:
        self.name, self.address = name, ""
        ip("netns", "add", name)

    def settle(self, address: str) -> None:
        """Take an address on the cable that was laid here."""
        self.address = address
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

    def stop(self) -> None:
        """Have everything there stand still until it gets SIGCONT."""
        stop(self.processes())

    def close(self) -> None:
        """End everything there and remove the host."""
        self.send(signal.SIGKILL)
        until(lambda: not self.processes(), "the end of the host's processes")
        ip("netns", "delete", self.name)


def stop(processes: Sequence[int]) -> None:
    """Stop processes; on a busy machine one of their threads may give another answer until then."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
    until(lambda: all(map(_stands_still, processes)), "the processes to stand still")


def _stands_still(process: int) -> bool:
    """Say whether no thread of it runs: all are stopped (T), or ended (Z, X)."""
    try:
        threads = [each.read_text() for each in Path(f"/proc/{process}/task").glob("*/stat")]
    except OSError:
        return False
    return all(one.rpartition(")")[2].split()[0] in "TZX" for one in threads)


def run(*words: str | os.PathLike[str]) -> str:
    """Run a program and return what it printed; its failure shows its own words."""
    done = subprocess.run(list(words), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    return done.stdout


def ip(*words: str) -> str:
    """Run iproute2's command."""
    return run("ip", *words)


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
