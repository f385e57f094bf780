"""A real Gluster cluster of one node: a replica-3 volume whose three bricks are on one disk."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.machine import need_program, need_root
from tests.rigs.network import Host, start, until

_GLUSTERD = """\
volume management
    type mgmt/glusterd
    option working-directory {place}/state
    option glusterd-sockfile {place}/glusterd.sock
    option transport-type socket
    option transport.socket.listen-port 24007
    option transport.socket.read-fail-log off
    option transport.address-family inet
    option max-port 60999
    option event-threads 1
end-volume
"""

# Its daemons meet at fixed paths there, and those of two clusters would take each other's. A host's
# programs have mounts of their own, as `ip netns exec` makes them.
_ALONE = 'mkdir -p /run/gluster && mount -t tmpfs none /run/gluster && exec "$0" "$@"'


class Gluster:
    """glusterd and its bricks, in a host of their own."""

    def __init__(self, host: Host, place: Path, volume: str = "vol") -> None:
        need_root()
        need_program("glusterd", "glusterfs-server")
        self.host, self.place, self.volume = host, place, volume
        self._started_s = time.time()
        (place / "state").mkdir()
        self._socket = place / "glusterd.sock"
        config = place / "glusterd.vol"
        config.write_text(_GLUSTERD.format(place=place))
        self._daemon = start(
            host.argv("sh", "-c", _ALONE, "glusterd", "-N", "-f", config, "-l", place / "log"),
            place / "out",
        )
        until(self._answers, "glusterd", seconds=90)
        self.add(volume)

    def add(self, volume: str) -> None:
        """Make another replica-3 volume, and wait until its bricks run."""
        count = len(self.bricks()) + 3
        bricks = [f"{self.host.address}:{self.place}/{volume}{number}" for number in range(3)]
        self.cli("volume", "create", volume, "replica", "3", *bricks, "force")
        self.cli("volume", "set", volume, "network.ping-timeout", "5")
        self.cli("volume", "start", volume)
        until(lambda: len(self.bricks()) == count, "three bricks", seconds=90)

    @property
    def command(self) -> list[str]:
        """The gluster command that reaches this cluster."""
        return self.host.argv("gluster", f"--glusterd-sock={self._socket}")

    def cli(self, *words: str) -> str:
        """Run the gluster command."""
        return self.host.run("gluster", f"--glusterd-sock={self._socket}", "--mode=script", *words)

    def _answers(self) -> bool:
        """Say whether glusterd answers; asked while it comes up, it may never do."""
        argv = [*self.command, "peer", "status"]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=15)
        except subprocess.TimeoutExpired:
            return False
        return "Number of Peers" in done.stdout

    def bricks(self) -> list[int]:
        """Return the process ids of the bricks."""
        return [one for one in self.host.processes() if _program(one) == "glusterfsd"]

    def send_bricks(self, what: signal.Signals) -> None:
        """Send a signal to every brick."""
        for brick in self.bricks():
            with suppress(ProcessLookupError):
                os.kill(brick, what)

    @contextmanager
    def uninformed(self, bricks: Sequence[int]) -> Iterator[None]:
        """Keep bricks, as long as this is entered, from learning new settings; they serve on.

        They are told that there are some, but their question for these gets lost on its way.
        """
        need_program("iptables", "iptables")
        sockets = self.host.run("ss", "-Htnp", "dport = :24007")
        ports = [_port_of(brick, sockets) for brick in bricks]
        rule = ("OUTPUT", "-p", "tcp", "--dport", "24007", "-j", "DROP", "--sport")
        for port in ports:
            self.host.run("iptables", "-I", *rule, port)
        try:
            yield
        finally:
            for port in ports:
                self.host.run("iptables", "-D", *rule, port)

    def close(self) -> None:
        """End the cluster."""
        self.host.send(signal.SIGKILL)
        self._daemon.wait()
        for left in Path("/tmp").glob("gglustershd-*.tmp"):  # what glusterd itself forgets
            if left.stat().st_mtime >= self._started_s:
                left.unlink(missing_ok=True)


def _port_of(process: int, sockets: str) -> str:
    """Return the port from which a process talks to glusterd, by what `ss` tells."""
    found = re.search(rf":(\d+) +\S+:24007 .*\bpid={process},", sockets)
    assert found is not None, f"process {process} is not connected to glusterd: {sockets}"
    return found[1]


def _program(process: int) -> str:
    """Return the name a process was started under, or nothing if it is gone."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return Path(os.fsdecode(words[0])).name
