"""A node of the Swarm: a machine of its own on a cable, with an engine and volplug.

Everything a machine can do to a cluster can be done to it: its power cut, its cable pulled, all
that runs on it stopped in mid-write and woken. A stopped machine's kernel goes on here, which a
paused guest's does not; what it had sent before the stop arrives all the same in both.
"""

import os
import uuid
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP, Signals

from tests.e2e.box import poll
from tests.e2e.engine import Node
from tests.rigs.network import Network

PORT = 2377
"""Where managers of a Swarm listen."""


class Member(Node):
    """One machine of the cluster; `settings` are volplug's."""

    def __init__(self, number: int, network: Network, machines: Path, **settings: str) -> None:
        """Power it on."""
        super().__init__(f"n{number}", _machine(machines / f"n{number}"))
        self.number, self.address = number, f"{network.prefix}.{number}"
        self._network, self._settings = network, settings

    def start(self) -> None:
        """Put it on its cable and start its daemons; return when the Swarm may use volplug here."""
        self._network.join(self.box.pid, self.number)
        self.start_volplug(**self._settings)
        self.start_engine("--log-level=warn")
        self.docker("volume", "ls").ok()  # a socket plugin is reported once it was used (6.2)

    def power_cut(self) -> None:
        """Kill its first process, and so everything on it; the disk stays."""
        self.box.off()

    def boot(self) -> None:
        """Start it anew after its power was cut."""
        self.reboot()
        self.start()

    def unplug(self) -> None:
        """Pull its cable."""
        self._network.unplug(self.number)

    def plug_in(self) -> None:
        """Plug its cable in again."""
        self._network.plug_in(self.number)

    def stop_everything(self) -> None:
        """Stop all that runs on it where it stands, containers and FUSE daemons, too."""

        def all_stopped() -> bool:
            processes = self.processes()
            _send(processes, SIGSTOP)  # again: one that was just born is missing in the first list
            # A writer whose FUSE daemon was stopped first waits in the kernel, and stops after.
            return bool(processes) and all(_state(one) in "TtZXD" for one in processes)

        poll(all_stopped, f"everything on {self.name} to be stopped", seconds=30)

    def wake_everything(self, but: str = "") -> None:
        """Let all that was stopped go on, but the processes of this name."""
        _send([one for one in self.processes() if _name(one) != but], SIGCONT)

    def processes(self) -> list[int]:
        """Return what runs on it, as this machine counts, without the tests' own first process."""
        first = self.box.pid
        parents = {
            int(entry.name): parent
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and (parent := _parent(int(entry.name)))
        }
        found = [first]
        for process in found:
            found += [child for child, parent in parents.items() if parent == process]
        return found[1:]

    def has_mounted(self, volume: str) -> bool:
        """Say whether the kernel has the volume mounted on it, in use or not."""
        table = Path(f"/proc/{self.box.pid}/mounts").read_text().splitlines()
        return any(line.split()[1].endswith(f"/{volume}") for line in table)

    def join(self, manager: "Member") -> None:
        """Join the Swarm of a manager."""
        token = manager.docker("swarm", "join-token", "--quiet", "worker").ok()
        own = (f"--advertise-addr={self.address}", f"--listen-addr={self.address}:{PORT}")
        self.docker("swarm", "join", f"--token={token}", *own, f"{manager.address}:{PORT}").ok()


def _machine(place: Path) -> Path:
    """Make up a machine: the identity of its installation, and that of its hardware."""
    firmware = place / "class/dmi/id"
    firmware.mkdir(parents=True)
    (place / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
    (firmware / "product_uuid").write_text(f"{uuid.uuid4()}\n")
    return place


def _send(processes: list[int], what: Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, what)


def _stat(process: int) -> list[str]:
    """Return what proc(5) tells after a process's name: its state, its parent; or nothing."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return []


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def _parent(process: int) -> int:
    return int((_stat(process) or ["", "0"])[1])


def _state(process: int) -> str:
    return (_stat(process) or ["X"])[0]
