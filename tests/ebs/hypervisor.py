"""The strict EC2's side of the hypervisor that may stand under it (tests/lab/hypervisor.py).

Without one, instances are names and disks appear nowhere: that is how most tests use the simulator.
"""

import json
import socket
from pathlib import Path
from typing import Any

from tests.ebs.disk import refuse

_GIB = 2**30
_PATIENCE_S = 60.0


class Hypervisor:
    """Guests that instances stand for; `path` is the socket where orders go, if there are any."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def plug(self, instance_id: str, disk_id: str, size_gib: int) -> None:
        """Plug a disk in, as NVMe with EC2's serial number: the volume's id without the dash."""
        self._order(
            "plug", machine=instance_id, disk=disk_id, size_bytes=size_gib * _GIB,
            serial=disk_id.replace("-", ""), bus="nvme",
        )  # fmt: skip

    def ask_out(self, instance_id: str, disk_id: str) -> None:
        """Ask the guest to let go of a disk."""
        self._order("ask_out", machine=instance_id, disk=disk_id)

    def cut(self, instance_id: str, disk_id: str) -> None:
        """Take a disk away at once, whatever the guest does."""
        self._order("cut", machine=instance_id, disk=disk_id)

    def has(self, instance_id: str, disk_id: str) -> bool:
        """Whether the guest has not let go of a disk yet."""
        return bool(self._order("has", machine=instance_id, disk=disk_id))

    def grow(self, disk_id: str, size_gib: int) -> None:
        """Make a disk larger; a guest that has it on an NVMe target sees that, others later."""
        self._order("grow", disk=disk_id, size_bytes=size_gib * _GIB)

    def delete(self, disk_id: str) -> None:
        """Throw a disk's bytes away."""
        self._order("delete", disk=disk_id)

    def off(self, instance_id: str) -> None:
        """Take a guest's power away."""
        self._order("off", machine=instance_id)

    def _order(self, order: str, **words: object) -> Any:
        if self._path is None:
            return None
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_PATIENCE_S)
            client.connect(str(self._path))
            client.sendall(json.dumps({"order": order, **words}).encode() + b"\n")
            answer = json.loads(client.makefile("rb").readline())
        if answer["error"]:
            refuse("InternalError", f"the hypervisor could not {order}: {answer['error']}")
        return answer["answer"]
