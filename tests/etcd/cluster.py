"""A real etcd of three members on this machine; each can be killed, stopped and started."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from volplug.deadline import deadline, wait_until
from volplug.etcd.access import Access, Endpoint

PATIENCE_S = 30.0


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Member:
    """One process of the cluster."""

    program: Path
    directory: Path
    name: str
    scheme: str = "http"
    options: tuple[str, ...] = ()
    address: str = "127.0.0.1"
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    peer_door: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{self.scheme}://{self.address}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Where the other members find it: at its own port, or at a door before that."""
        return f"http://{self.address}:{self.peer_door or self.peer_port}"

    def start(self, cluster: str) -> None:
        """Start it, with the data that it had."""
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),  # whatever ends the tests ends it, too
                    str(self.program),
                    *("--name", self.name, "--data-dir", str(self.directory / self.name)),
                    *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                    *("--listen-peer-urls", f"http://{self.address}:{self.peer_port}"),
                    *("--initial-advertise-peer-urls", self.peer_url),
                    *("--initial-cluster", cluster, "--logger", "zap"),
                    *self.options,
                ],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", ""), "GOMAXPROCS": "1"},
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it, without a word, whatever state it is in."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process = None

    def healthy(self) -> bool:
        """Say whether it serves, with a leader known to it."""
        return bool(self._ask("GET", "/health").get("health") == "true")

    def leads(self) -> bool:
        """Say whether it is the leader."""
        status = self._ask("POST", "/v3/maintenance/status")
        return bool(status and status.get("leader") == status["header"]["member_id"])

    def metric(self, name: str) -> float:
        """Return a number that it counts."""
        connection = http.client.HTTPConnection(self.address, self.client_port, timeout=10)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        """Return the member's answer, or nothing."""
        connection = http.client.HTTPConnection(self.address, self.client_port, timeout=1)
        try:
            connection.request(method, path, "{}")
            answer = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            return {}
        finally:
            connection.close()
        return dict(answer)


class Cluster:
    """Members at one address, three unless told otherwise; their data in a directory."""

    def __init__(
        self,
        program: Path,
        directory: Path,
        *,
        size: int = 3,
        scheme: str = "http",
        options: tuple[str, ...] = (),
        address: str = "127.0.0.1",
    ) -> None:
        self.members = [
            Member(program, directory, f"m{number}", scheme, options, address)
            for number in range(size)
        ]

    @property
    def access(self) -> Access:
        """How a store reaches it."""
        return Access(tuple(Endpoint.parse(member.url) for member in self.members))

    def start(self, member: Member | None = None) -> None:
        """Start a member, or all."""
        words = ",".join(f"{each.name}={each.peer_url}" for each in self.members)
        for each in [member] if member else self.members:
            each.start(words)

    def wait(self) -> None:
        """Return once every member is healthy."""
        with deadline(PATIENCE_S):
            wait_until(lambda: all(each.healthy() for each in self.members), "etcd", poll_s=0.05)

    def metric(self, name: str) -> float:
        """Return a number that the members count, of all of them together."""
        return sum(each.metric(name) for each in self.members)

    def leader(self) -> Member:
        """Return the member that leads, waiting for an election to end."""
        found: list[Member] = []

        def elected() -> bool:
            found[:] = [each for each in self.members if each.leads()]
            return bool(found)

        with deadline(PATIENCE_S):
            wait_until(elected, "a leader", poll_s=0.05)
        return found[0]

    def stop(self) -> None:
        """End every member, and leave nothing behind."""
        for member in self.members:
            member.kill()
        with contextlib.suppress(OSError):
            shutil.rmtree(self.members[0].directory)
