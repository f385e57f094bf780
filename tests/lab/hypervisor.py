"""What stands between a simulator of a cloud and the guests: disks come, go and grow by its orders.

A simulator runs in a process of its own and sends an order a line, as JSON, over a unix socket. A
disk's bytes are a file here, made when the disk is first plugged in, so that they move from guest
to guest with it. QEMU locks the file: should a simulator ever give a disk to two guests, the second
is refused it here.

Kept of real ones: a guest that stands still keeps a disk that it is asked to let go of; a disk that
is taken by force fails all further writes at once, and is out when the guest wakes; a guest without
power has no disks. Not kept: an NVMe disk shows its new size only when it is plugged in again, for
QEMU 7.2 cannot resize one; where it must, the guest has an NVMe target (nvme_target.py).
"""

import json
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.disks import Disk
from tests.lab.guest import Guest
from tests.lab.qmp import QmpError

_WWN_DIGITS = 16


class Hypervisor:
    """The guests of a cloud by its names for them, and the files of its disks."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "hypervisor"
        self._directory = directory
        self._guests: dict[str, Guest] = {}
        self._plugged: dict[tuple[str, str], Disk] = {}
        self._turn = threading.Lock()
        self._server = _Server(str(self.socket), self._obey)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def adopt(self, machine: str, guest: Guest) -> None:
        """Let a guest be what the cloud calls a machine."""
        self._guests[machine] = guest

    def images(self) -> list[Path]:
        """List the files of the disks that were plugged in once and are not deleted."""
        return sorted(self._directory.glob("*.disk"))

    def image(self, disk: str) -> Path:
        """Return the file of a disk, which may not be there yet."""
        return self._directory / f"{disk.replace('/', '_')}.disk"

    def plugged(self) -> list[tuple[str, str]]:
        """List which disks are in which machines, by the orders that were obeyed."""
        with self._turn:
            return sorted(pair for pair in list(self._plugged) if self._has(pair))

    def close(self) -> None:
        """Obey no more."""
        self._server.shutdown()
        self._server.server_close()

    def _obey(self, order: dict[str, Any]) -> Any:
        """Carry an order out; return the answer to the one that is a question."""
        acts: dict[str, Callable[..., Any]] = {
            "plug": self._plug,
            "ask_out": self._ask_out,
            "cut": self._cut,
            "has": lambda machine, disk: self._has((machine, disk)),
            "grow": self._grow,
            "off": self._off,
            "on": self._on,
            "delete": lambda disk: self.image(disk).unlink(missing_ok=True),
        }
        act = acts[order.pop("order")]
        with self._turn:
            return act(**order)

    def _plug(self, machine: str, disk: str, size_bytes: int, serial: str, bus: str) -> None:
        if (machine, disk) in self._plugged:
            return
        image = self.image(disk)
        with image.open("ab") as file:
            file.truncate(max(size_bytes, image.stat().st_size))
        disks = self._running(machine).disks
        if bus == "nvme":
            made = disks.plug_nvme(image, serial)
        else:
            made = disks.plug_scsi(image, serial[:_WWN_DIGITS], int(serial[:_WWN_DIGITS], 16))
        self._plugged[machine, disk] = made

    def _ask_out(self, machine: str, disk: str) -> None:
        if self._has((machine, disk)):
            self._guests[machine].disks.ask_out(self._plugged[machine, disk])

    def _cut(self, machine: str, disk: str) -> None:
        if self._has((machine, disk)):
            cut = self._plugged.pop((machine, disk))
            self._guests[machine].disks.fence(cut)
            self._guests[machine].disks.ask_out(cut)

    def _has(self, pair: tuple[str, str]) -> bool:
        disk, guest = self._plugged.get(pair), self._guests.get(pair[0])
        if disk is None or guest is None:
            return False
        if guest.has_power and guest.disks.is_in(disk):
            return True
        del self._plugged[pair]
        return False

    def _grow(self, disk: str, size_bytes: int) -> None:
        image = self.image(disk)
        if not image.exists():
            return
        for (machine, plugged), made in list(self._plugged.items()):
            if plugged == disk and made.slot is None and self._has((machine, disk)):
                self._guests[machine].disks.resize(made, size_bytes)
                return
        with image.open("ab") as file:
            file.truncate(size_bytes)

    def _off(self, machine: str) -> None:
        guest = self._guests.get(machine)
        if guest is not None and guest.has_power:
            guest.power_off()

    def _on(self, machine: str) -> None:
        guest = self._guests.get(machine)
        if guest is not None and not guest.has_power:
            guest.power_on()

    def _running(self, machine: str) -> Guest:
        guest = self._guests.get(machine)
        if guest is None or not guest.has_power:
            raise QmpError(f"no guest is {machine}, or it has no power")
        return guest


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, obey: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__(path, _Line)
        self.obey = obey


class _Line(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        order = json.loads(self.rfile.readline())
        assert isinstance(self.server, _Server)
        try:
            answer: dict[str, Any] = {"answer": self.server.obey(order), "error": ""}
        except (QmpError, AssertionError, OSError) as error:
            answer = {"answer": None, "error": str(error)}
        self.wfile.write(json.dumps(answer).encode() + b"\n")
