"""How fast a real `volplug serve` answers, how much memory it takes, and where the time goes.

Every request is a new connection, as the engine makes them when it is told to close. The clients
are threads of this process, so on a small machine they take processor time from the server: the
numbers are what a whole node can expect, not what the server could do alone.

    python bench/front.py [--seconds 3] [--volumes 10000] [--clients 1 16 64]
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

GET, LIST, NOTHING = "/VolumeDriver.Get", "/VolumeDriver.List", "/VolumeDriver.Capabilities"
CREATE, MOUNT, UNMOUNT = "/VolumeDriver.Create", "/VolumeDriver.Mount", "/VolumeDriver.Unmount"


class Server:
    """A volplug of its own, in a directory of its own."""

    def __init__(self, root: Path) -> None:
        self._socket = str(root / "v.sock")
        environment = {name: value for name, value in os.environ.items() if "VOLPLUG" not in name}
        environment |= {
            "VOLPLUG_SOCKET": self._socket,
            "VOLPLUG_STATE_DIR": str(root / "state"),
            "VOLPLUG_CONFIG": str(root / "volplug.toml"),
        }
        (root / "volplug.toml").touch()
        begin = time.perf_counter()
        with (root / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "volplug.cli", "serve"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.listening_s = self._wait(lambda: self._connect().close()) - begin
        self.ask(NOTHING)
        self.answering_s = time.perf_counter() - begin

    def ask(self, call: str, **fields: object) -> dict[str, Any]:
        """Make one call; raise RuntimeError if it is refused."""
        body = json.dumps(fields).encode()
        with self._connect() as connection:
            head = f"POST {call} HTTP/1.1\r\nHost: \r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            received = bytearray()
            while chunk := connection.recv(1 << 20):
                received += chunk
        answer: dict[str, Any] = json.loads(bytes(received).partition(b"\r\n\r\n")[2])
        if answer.get("Err"):
            raise RuntimeError(f"{call} {fields}: {answer['Err']}")
        return answer

    def memory_mib(self) -> float:
        """Return the memory of master and worker together, what they share counted once."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        total_kib = 0
        for pid in [str(self.process.pid), *children.split()]:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total_kib += int(line.split()[1])
        return total_kib / 1024

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self._socket)
        except OSError:
            connection.close()
            raise
        return connection

    def _wait(self, attempt: Callable[[], None]) -> float:
        while self.process.poll() is None:
            with suppress(OSError):
                attempt()
                return time.perf_counter()
            time.sleep(0.002)
        raise RuntimeError("the server ended instead of listening")


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server for the length of the block; what it mounted goes with it."""
    with tempfile.TemporaryDirectory(prefix="volplug-bench-") as directory:
        server = Server(Path(directory))
        try:
            yield server
        finally:
            server.process.terminate()
            server.process.wait(20)
            _unmount_below(directory)


def _unmount_below(directory: str) -> None:
    """Take down mounts that the server left, as it must for containers that still run."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if (target := line.split()[4]).startswith(directory):
            subprocess.run(["umount", "--lazy", target], check=False)


def measure(work: Callable[[int], None], *, clients: int, seconds: float) -> list[float]:
    """Let clients do work again and again for a while; return what each time took, in seconds."""
    end = time.perf_counter() + seconds

    def live(client: int) -> list[float]:
        took = []
        while (begin := time.perf_counter()) < end:
            work(client)
            took.append(time.perf_counter() - begin)
        return took

    with ThreadPoolExecutor(clients) as pool:
        return [one for many in pool.map(live, range(clients)) for one in many]


def row(what: str, took: list[float], seconds: float) -> None:
    """Print one line of the table."""
    p50, p99 = (statistics.quantiles(took, n=100)[i] * 1000 for i in (49, 98))
    print(f"{what:<44}{len(took) / seconds:>9.0f}/s{p50:>10.1f}{p99:>10.1f}")


def title(what: str) -> None:
    """Print the head of a table."""
    print(f"\n{what:<44}{'rate':>11}{'p50 ms':>10}{'p99 ms':>10}")


def make(server: Server, first: int, last: int) -> None:
    """Create volumes, sixteen at a time."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: server.ask(CREATE, Name=f"v{n}"), range(first, last)))
    rate = (last - first) / (time.perf_counter() - begin)
    print(f"\n{last - first} volumes created at {rate:.0f}/s, 16 at a time")


def main() -> None:
    """Measure, and print tables."""
    arguments = _arguments()
    seconds, clients = arguments.seconds, arguments.clients
    few, enough = 10, max(10, *clients)
    with serving() as server:
        print(f"start to listening: {server.listening_s * 1000:.0f} ms")
        print(f"start to first answer: {server.answering_s * 1000:.0f} ms")
        print(f"memory, idle: {server.memory_mib():.0f} MiB")
        make(server, 0, few)
        looks(server, few, seconds)
        make(server, few, enough)
        where_the_time_goes(server, seconds)
        cycles(server, clients, seconds)
        make(server, enough, arguments.volumes)
        looks(server, arguments.volumes, seconds)
        print(f"\nmemory, after all that: {server.memory_mib():.0f} MiB")


def where_the_time_goes(server: Server, seconds: float) -> None:
    """Time each call alone: the first is HTTP, Flask and nothing else, the rest add their own."""
    title("one client, one call at a time")
    row("Capabilities (HTTP alone)", _calls(server, NOTHING, clients=1, seconds=seconds), seconds)
    row("Get", _calls(server, GET, clients=1, seconds=seconds), seconds)
    mounts: list[float] = []
    unmounts: list[float] = []

    def cycle(_: int) -> None:
        begin = time.perf_counter()
        server.ask(MOUNT, Name="v0", ID="c")
        between = time.perf_counter()
        server.ask(UNMOUNT, Name="v0", ID="c")
        mounts.append(between - begin)
        unmounts.append(time.perf_counter() - between)

    measure(cycle, clients=1, seconds=seconds)
    row("Mount, of a volume that nobody else has", mounts, seconds)
    row("Unmount, of the last user", unmounts, seconds)
    server.ask(MOUNT, Name="v0", ID="other")
    mounts.clear()
    unmounts.clear()
    measure(cycle, clients=1, seconds=seconds)
    row("Mount, of a volume that is here already", mounts, seconds)
    row("Unmount, of one user among others", unmounts, seconds)
    server.ask(UNMOUNT, Name="v0", ID="other")


def _calls(server: Server, call: str, *, clients: int, seconds: float) -> list[float]:
    """Make the same call again and again."""

    def ask(_: int) -> None:
        server.ask(call, Name="v0")

    return measure(ask, clients=clients, seconds=seconds)


def cycles(server: Server, clients: list[int], seconds: float) -> None:
    """Time Mount and Unmount together, each client on its own volume."""

    def cycle(client: int) -> None:
        server.ask(MOUNT, Name=f"v{client}", ID="c")
        server.ask(UNMOUNT, Name=f"v{client}", ID="c")

    title("Mount + Unmount")
    for count in clients:
        row(f"{count} clients", measure(cycle, clients=count, seconds=seconds), seconds)


def looks(server: Server, volumes: int, seconds: float) -> None:
    """Time Get and List, alone and with sixteen clients."""
    title(f"with {volumes} volumes")
    for name, call in (("Get", GET), ("List", LIST)):
        for count in (1, 16):
            took = _calls(server, call, clients=count, seconds=seconds)
            row(f"{name}, {count} clients", took, seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a real `volplug serve`.")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each line of a table")
    parser.add_argument("--volumes", type=int, default=10_000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    return parser.parse_args()


if __name__ == "__main__":
    main()
