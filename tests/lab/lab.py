"""The lab: guests on a network that ends inside this machine, gone as a whole.

QEMU runs in a box of the end-to-end tests: namespaces whose first process takes everything with it,
also when the tests are killed. The two networks are bridges in there, with no way out.
"""

import socket
import tempfile
from pathlib import Path

from tests.e2e.box import Box, remove_tree
from tests.lab import doors
from tests.lab.array import Array
from tests.lab.etcd import Etcd
from tests.lab.filer import Filer
from tests.lab.guest import ENVIRONMENT, Guest, Room
from tests.lab.hypervisor import Hypervisor
from tests.lab.image import Image
from tests.lab.node import Node
from tests.lab.seed import Seed
from tests.lab.storage import Storage
from tests.machine import need_program

_NODE_MIB, _STORAGE_MIB = 768, 512
BESIDE = "10.77.0.254"  # where the guests reach what runs in the lab without being a guest


class Lab:
    """Nodes and storage, numbered in the order in which they are switched on."""

    def __init__(self, image: Image, seed: Seed) -> None:
        for program, package in (
            ("qemu-system-x86_64", "qemu-system-x86"),
            ("ip", "iproute2"),
            ("ssh", "openssh-client"),
        ):
            need_program(program, package)
        self.directory = Path(tempfile.mkdtemp(prefix="volplug-lab-"))
        self._box = Box(self.directory, "lab")
        self._room = Room(self._box, self.directory, image, seed)
        self._guests: list[Guest] = []
        for network, address in (("control", "10.66.0.254/24"), ("lan", f"{BESIDE}/24")):
            self._ip("link", "add", network, "type", "bridge")
            self._ip("address", "add", address, "dev", network)
            self._ip("link", "set", network, "up")

    @property
    def key(self) -> Path:
        """The private key that opens the guests, and the file server."""
        return self._room.seed.key

    def node(self) -> Node:
        """Switch on a node: a machine for an engine and volplug, neither of them started."""
        number = len(self._guests) + 1
        node = Node(self._room, f"node-{number}", number, _NODE_MIB)
        self._guests.append(node)
        return node

    def storage(self) -> Storage:
        """Switch on a machine that serves NFS and iSCSI, once told to."""
        number = len(self._guests) + 1
        storage = Storage(self._room, f"storage-{number}", number, _STORAGE_MIB)
        self._guests.append(storage)
        return storage

    def array(self) -> Array:
        """Switch on an ONTAP array, which serves once it is told to."""
        number = len(self._guests) + 1
        array = Array(self._room, f"array-{number}", number, _STORAGE_MIB)
        self._guests.append(array)
        return array

    def filer(self) -> Filer:
        """Start a file server that can refuse one node, beside the guests."""
        return Filer(self._box, BESIDE, "10.77.0.0/24", self.key.with_suffix(".pub"))

    def etcd(self) -> Etcd:
        """Start a store for a cluster, beside the guests."""
        return Etcd(self._box, BESIDE)

    def door(self) -> socket.socket:
        """Listen beside the guests, for a server that runs outside the lab."""
        return doors.listen(self._box.pid, BESIDE)

    def hypervisor(self) -> Hypervisor:
        """Let a simulator of a cloud give disks to guests."""
        return Hypervisor(self.directory)

    def disk_image(self, name: str, size_bytes: int) -> Path:
        """Make the empty image of a disk, which can be plugged into a guest."""
        path = self.directory / f"{name}.img"
        with path.open("xb") as file:
            file.truncate(size_bytes)
        return path

    def words(self) -> str:
        """Return the last words of every guest, for the report of a failed test."""
        parts = []
        for guest in self._guests:
            lines = guest.said().splitlines()
            parts.append("\n".join([f"--- {guest.name}: {len(lines)} lines", *lines[-80:]]))
        return "\n".join(parts)

    def close(self) -> None:
        """Kill every guest and leave nothing behind."""
        for guest in self._guests:
            guest.disconnect()
        self._box.off()
        remove_tree(self.directory)

    def _ip(self, *words: str) -> None:
        self._box.run(["ip", *words], ENVIRONMENT).ok()
