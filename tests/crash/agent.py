"""A real `volplug serve` in a directory of its own, to be killed at any step and started again."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

from volplug.crashpoint import VARIABLE
from volplug.deadline import deadline, wait_until

Answer: TypeAlias = dict[str, Any]
PATIENCE_S = 60.0


class Agent:
    """The process, its socket and its state; the state outlives the process."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.socket = directory / "volplug.sock"
        self.log = directory / "log"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, crashpoint: str = "") -> None:
        """Serve until killed; with a crashpoint the worker dies whenever it passes there."""
        environment = {
            **os.environ,
            "VOLPLUG_SOCKET": str(self.socket),
            "VOLPLUG_STATE_DIR": str(self.directory / "state"),
            VARIABLE: crashpoint,
            **self._settings,
        }
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "volplug.cli", "serve"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        with deadline(PATIENCE_S):
            wait_until(self._listens, "volplug's socket", poll_s=0.02)

    def kill(self) -> None:
        """SIGKILL the web server's parent; its worker dies with it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(PATIENCE_S)
            self._process = None

    def call(self, path: str, **body: object) -> Answer | None:
        """Send one call and return its answer, or None if the connection broke before it came."""
        connection = http.client.HTTPConnection("localhost", timeout=PATIENCE_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(PATIENCE_S)
        try:
            connection.sock.connect(str(self.socket))
            connection.request("POST", path, json.dumps(body))
            answer: Answer = json.loads(connection.getresponse().read())
        except (ConnectionError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return answer

    def lives(self) -> int:
        """Count the workers that were ever started."""
        return self.log.read_text().count("Booting worker")

    def leases(self) -> list[Answer]:
        """Return the leases as the operator sees them."""
        answer = self.call("/Volplug.Leases")
        assert answer is not None
        return list(answer["Leases"])

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0
