"""The strict EC2, started as a program, and what a test can ask of it and order from it."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3.session

from volplug.sdk import deadline, wait_until

_AMI = "ami-12c6146b"


class Cloud:
    """The strict EC2, as a test sees it: all of the truth, and a hand on its faults."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        session = boto3.session.Session("testing", "testing", region_name="us-east-1")
        self.ec2: Any = session.client("ec2", endpoint_url=self.url)

    def ask(self, path: str, wish: Any = None) -> Any:
        """Ask the server itself."""
        data = None if wish is None else json.dumps(wish).encode()
        request = urllib.request.Request(  # noqa: S310  a loopback address
            f"{self.url}/strict/{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  the same
            return json.load(answer)

    def set(self, **knobs: Any) -> None:
        """Make it slow, late or stuck."""
        self.ask("knobs", knobs)

    def fault(self, kind: str, action: str, times: int = 1) -> None:
        """Let the next calls of an action fail in a way, and no others."""
        self.ask("faults", [{"kind": kind, "action": action, "times": times}])

    def calls(self) -> list[str]:
        """Return the actions since the last time this was asked, in order."""
        return [action for action, _ in self.ask("calls")]

    def disks(self, name: str = "") -> list[dict[str, Any]]:
        """Return the volumes that are there and stay, of one name or all."""
        found: list[dict[str, Any]] = self.ask("disks")
        return [one for one in found if not one["deleting"] and name in ("", one["name"])]

    def snapshots(self, volume: str) -> list[str]:
        """Return the names of a volume's snapshots, one twice if there are two."""
        found: list[tuple[str, dict[str, str]]] = self.ask("snapshots")
        return sorted(tags["volplug:snapshot"] for of, tags in found if of == volume)

    def instance(self, zone: str = "us-east-1a") -> str:
        """Start an instance."""
        made = self.ec2.run_instances(
            ImageId=_AMI, MinCount=1, MaxCount=1, InstanceType="m5.large",
            Placement={"AvailabilityZone": zone},
        )  # fmt: skip
        return str(made["Instances"][0]["InstanceId"])


@contextmanager
def running(door: socket.socket | None = None, hypervisor: Path | None = None) -> Iterator[Cloud]:
    """Give the block an EC2 of its own; it also serves at a door, and may have a hypervisor."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--door", str(door.fileno())] if door else []
    words += ["--hypervisor", str(hypervisor)] if hypervisor else []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ebs.ec2_server", str(port), *words],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
        pass_fds=[door.fileno()] if door else [],
    )
    try:
        with deadline(60):
            wait_until(lambda: process.poll() is not None or _listens(port), "the strict EC2")
        yield Cloud(port)
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
