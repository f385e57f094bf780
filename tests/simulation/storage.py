"""Disks that remember who wrote last, and two drivers for them: with a fence, and without one.

A disk accepts writes in the order in which they reach it, and that order is what the whole lease
table is for: after a write under one token none under an older one may be accepted, unless both
may write at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.network import Call, Network
from tests.simulation.threads import local_wait
from tests.simulation.timeline import current
from volplug.deadline import remaining
from volplug.driver import Attachment, Driver, Fencing
from volplug.errors import Unavailable
from volplug.lease import compatible
from volplug.options import option
from volplug.source import Share, Source
from volplug.volume import AccessMode, Volume

PATIENCE_S = 5.0
"""How long a driver waits for the storage."""


@dataclass
class Disk:
    """One volume's storage. `admitted` is None where the storage admits whoever comes."""

    name: str
    admitted: set[str] | None
    newest: dict[AccessMode, int] = field(default_factory=dict)
    gone: bool = False

    def admits(self, node: str) -> bool:
        """Say whether a node's writes are accepted."""
        return not self.gone and (self.admitted is None or node in self.admitted)


@dataclass
class Storage:
    """All disks; `overtaken` is told of each write that came after one that excludes it."""

    network: Network
    overtaken: Callable[[str, int, AccessMode, int], None]
    accepted: Callable[[Disk, int, bool], None]
    disks: dict[str, Disk] = field(default_factory=dict)
    writes: int = 0
    refused: int = 0

    def write(self, handle: str, node: str, token: int, access: AccessMode) -> None:
        """Take a write, or refuse it."""
        disk = self.disks[handle]
        if not disk.admits(node):
            self.refused += 1
            return
        self.writes += 1
        first = token > disk.newest.get(access, 0)
        for mode, newest in disk.newest.items():
            if newest > token and not compatible(access, mode):
                self.overtaken(disk.name, token, access, newest)
        if first:
            disk.newest[access] = token
        self.accepted(disk, token, first)

    def create(self, name: str, *, fenced: bool) -> str:
        """Make a disk, or find the one that is there."""
        for handle, disk in self.disks.items():
            if disk.name == name and not disk.gone:
                return handle
        handle = f"{name}-{len(self.disks)}"
        self.disks[handle] = Disk(name, set() if fenced else None)
        return handle

    def delete(self, handle: str) -> None:
        """Throw a disk away."""
        self.disks[handle].gone = True

    def ask(self, node: str, work: Callable[[], Any], *, once: bool = True) -> Any:
        """Let the storage do something; raise Unavailable if no answer comes."""
        task = current()
        call = Call(task)
        seconds = local_wait(min(PATIENCE_S, remaining()), task)
        done: list[Any] = []

        def perform() -> None:
            if once and call.given_up:
                return  # its connection was closed before it was heard
            if not (done and once):
                done.append(work())
            self.network.send("storage", node, call.reply, done[0])

        self.network.send(node, "storage", perform)
        if not call.wait(seconds or 0.0):
            call.given_up = True
            raise Unavailable("the storage does not answer")
        return call.answer


@dataclass(frozen=True)
class DiskConfig:
    """What a node's driver is told."""

    node: str = option(help="what the storage calls this machine")


@dataclass(frozen=True)
class DiskOptions:
    """What a user says of one volume."""


class PlainDriver(Driver[DiskConfig, DiskOptions]):
    """Disks that anybody can write to who can reach them."""

    access_modes = frozenset(AccessMode)
    drain_s = 0.5
    fenced = False
    storage: Storage  # set once the driver is made

    def create(self, name: str, options: DiskOptions) -> str:
        """Make a disk; one of that name is found again."""
        del options
        return str(self._ask(lambda: self.storage.create(name, fenced=self.fenced)))

    def delete(self, volume: Volume[DiskOptions]) -> None:
        """Throw a disk away. Already gone is success."""
        self._ask(lambda: self.storage.delete(volume.handle))

    def attach(self, volume: Volume[DiskOptions], node_id: str) -> Source:
        """Let a node reach a disk."""
        self._ask(lambda: self._admit(volume.handle, node_id))
        return Share("simulated", f"storage:/{volume.handle}")

    def detach(self, volume: Volume[DiskOptions], node_id: str) -> None:
        """Take a disk from a node. Already taken is success."""
        self._ask(lambda: self._expel(volume.handle, node_id))

    def node_id(self) -> str:
        """Return the name that the config gives this machine."""
        return self.config.node

    def _admit(self, handle: str, node: str) -> None:
        admitted = self.storage.disks[handle].admitted
        if admitted is not None:
            admitted.add(node)

    def _expel(self, handle: str, node: str) -> None:
        admitted = self.storage.disks[handle].admitted
        if admitted is not None:
            admitted.discard(node)

    def _ask(self, work: Callable[[], Any], *, once: bool = True) -> Any:
        return self.storage.ask(self.config.node, work, once=once)


class FencingDriver(PlainDriver, Fencing):
    """Disks that refuse a node that was cut off, even late, and even twice."""

    fenced = True
    fencing: Callable[[str, str], None]  # is told of each fence; set once the driver is made

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Cut a node off. Never attached is success."""
        self.fencing(volume.name, node_id)
        self._ask(lambda: self._expel(volume.handle, node_id), once=False)
        return f"the storage refuses {node_id}"

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List the nodes that the storage admits."""
        admitted = self._ask(lambda: sorted(self.storage.disks[volume.handle].admitted or ()))
        current().listed_s = self.storage.network.timeline.now_s
        return [Attachment(node) for node in admitted]
