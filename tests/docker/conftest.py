"""The front, in this process and behind a real socket, on volumes that misbehave on request."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.docker.fake_volumes import FakeVolumes
from tests.docker.plugin_client import Connection, PluginClient
from volplug.docker import create_app

REPOSITORY = Path(__file__).parents[2]


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Return when the condition holds; fail when it did not in time."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class Server:
    """A server process on fake volumes, and ways to reach it."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self.root = root
        self.volumes = FakeVolumes(root)
        self.client = PluginClient(root / "v.sock")
        self.log = root / "log"
        self.started_at = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.docker.fake_server", str(root), *arguments],
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def worker(self) -> int:
        """The process id of the worker."""
        return int((self.root / "worker").read_text())

    def connect(self) -> Connection:
        """Open a connection."""
        return Connection(self.root / "v.sock")

    def listening(self) -> bool:
        """Say whether it takes connections."""
        return (self.root / "v.sock").exists() and (self.root / "ready").exists()

    def end(self) -> None:
        """Kill what is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    servers: list[Server] = []

    def _start(*arguments: str) -> Server:
        servers.append(Server(tmp_path, *arguments))
        return servers[-1]

    yield _start
    for server in servers:
        server.end()


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    """A server that is ready, with 64 threads of which 56 may be slow."""
    server = start("64", "56")
    until(server.listening)
    return server


@pytest.fixture
def volumes(tmp_path: Path) -> FakeVolumes:
    """Volumes in this process."""
    return FakeVolumes(tmp_path)


@pytest.fixture
def app(volumes: FakeVolumes) -> FlaskClient:
    """The front in this process, without a socket: a broken connection shows as 503."""
    return create_app(volumes).test_client()
