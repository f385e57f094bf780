"""A driver whose storage is a dictionary, with every ability, and with trouble on demand.

Real backends fail in the ways that matter most only now and then: they hang, they fail half-way,
and they do the work but lose the answer. `FakeCloud` does each of these when it is told to. It
passes `DriverContract` like any other, or what it proves would be worth nothing.
"""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from volplug.deadline import wait_until
from volplug.driver import (
    Attachment,
    Cloneable,
    Driver,
    Expandable,
    Fencing,
    Snapshot,
    Snapshottable,
)
from volplug.errors import Exhausted, InvalidOptions, VolplugError, VolumeNotFound
from volplug.options import Size, option
from volplug.source import Device, ScsiWwid, Share, Source
from volplug.volume import AccessMode, Volume

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FakeConfig:
    """One imaginary account."""

    capacity: Size = option(help="what all volumes together may take", default=Size.parse("1T"))
    node: str = option(help="what the cloud calls this machine", default="node-1")


@dataclass(frozen=True)
class FakeOptions:
    """What a user says of one volume."""

    size: Size = option(help="size of the volume", default=Size.parse("1G"))
    disk: bool = option(help="a disk instead of a share", default=False)


@dataclass
class FakeVolume:
    """What the cloud knows of one volume."""

    name: str
    size: Size
    origin: str = ""
    nodes: dict[str, datetime] = field(default_factory=dict)
    fenced: set[str] = field(default_factory=set)
    snapshots: dict[str, datetime] = field(default_factory=dict)


class FakeCloud:
    """The storage that several FakeDrivers talk to, and the trouble that they meet there.

    `volumes` is by handle. `calls` lists every verb that was begun, with the volume's name.
    """

    def __init__(self) -> None:
        self.volumes: dict[str, FakeVolume] = {}
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self._failures: defaultdict[tuple[str, bool], list[VolplugError]] = defaultdict(list)
        self._closed: set[tuple[str, str]] = set()

    def fail(self, verb: str, error: VolplugError, *, times: int = 1, done: bool = False) -> None:
        """Let the next calls of a verb raise; with `done`, only after they did their work."""
        self._failures[verb, done] += [error] * times

    @contextmanager
    def hanging(self, verb: str, name: str = "") -> Iterator[None]:
        """Hold up every call of a verb, or one volume's, until the block or its deadline ends."""
        self._closed.add((verb, name))
        try:
            yield
        finally:
            self._closed.discard((verb, name))

    @contextmanager
    def call(self, verb: str, name: str) -> Iterator[None]:
        """Surround one call, and make whatever trouble was asked for."""
        with self.lock:
            self.calls.append((verb, name))
        wait_until(
            lambda: self._closed.isdisjoint({(verb, ""), (verb, name)}),
            f"the fake cloud to {verb}",
            poll_s=0.01,
        )
        self._raise(verb, done=False)
        with self.lock:
            yield
        self._raise(verb, done=True)

    def _raise(self, verb: str, *, done: bool) -> None:
        with self.lock:
            waiting = self._failures[verb, done]
            if waiting:
                raise waiting.pop(0)


class FakeDriver(Driver[FakeConfig, FakeOptions], Expandable, Cloneable, Fencing, Snapshottable):
    """A share or a disk of a FakeCloud, from any node."""

    access_modes = frozenset(AccessMode)
    snapshot_fate = "the fake cloud would forget them with it"

    def __init__(self, config: FakeConfig, cloud: FakeCloud | None = None) -> None:
        super().__init__(config)
        self.cloud = cloud or FakeCloud()

    def create(self, name: str, options: FakeOptions) -> str:
        """Make a volume; one of that name is found again."""
        return self._make("create", name, options.size, origin="")

    def delete(self, volume: Volume[FakeOptions]) -> None:
        """Forget a volume. Already forgotten is success."""
        with self.cloud.call("delete", volume.name):
            self.cloud.volumes.pop(volume.handle, None)

    def attach(self, volume: Volume[FakeOptions], node_id: str) -> Source:
        """Let a node have a volume, even one that was fenced before."""
        with self.cloud.call("attach", volume.name):
            found = self._find(volume)
            found.nodes.setdefault(node_id, _EPOCH)
            found.fenced.discard(node_id)
            if not volume.options.disk:
                return Share("fake", f"cloud:/{volume.handle}")
            return Device(ScsiWwid(f"naa.{volume.handle[-16:]}"), "ext4", (), found.size)

    def detach(self, volume: Volume[FakeOptions], node_id: str) -> None:
        """Take a volume from a node. Already taken, or the volume gone, is success."""
        with self.cloud.call("detach", volume.name):
            if found := self.cloud.volumes.get(volume.handle):
                found.nodes.pop(node_id, None)

    def node_id(self) -> str:
        """Return the name that the config gives this machine."""
        return self.config.node

    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Make a volume at least that large. Already as large is success."""
        with self.cloud.call("expand", volume.name):
            found = self._find(volume)
            self._admit(size - found.size)
            found.size = max(found.size, size)

    def clone(self, origin: Volume[Any], name: str, options: FakeOptions) -> str:
        """Make a volume that remembers its origin's handle; one of that name is found again."""
        self._find(origin)
        return self._make("clone", name, options.size, origin=origin.handle)

    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Note that a snapshot was taken; one of that name is left as it is."""
        with self.cloud.call("create_snapshot", volume.name):
            self._find(volume).snapshots.setdefault(name, _EPOCH)

    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        """List what was noted. It is asked so often that `calls` does not list it."""
        with self.cloud.lock:
            found = self.cloud.volumes.get(volume.handle)
            return [Snapshot(*one) for one in found.snapshots.items()] if found else []

    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Forget a snapshot. Already forgotten, or the volume gone, is success."""
        with self.cloud.call("delete_snapshot", volume.name):
            if found := self.cloud.volumes.get(volume.handle):
                found.snapshots.pop(name, None)

    def clone_snapshot(
        self, origin: Volume[Any], snapshot: str, name: str, options: FakeOptions
    ) -> str:
        """Make a volume that remembers its origin's handle and the snapshot, as `clone` does."""
        if snapshot not in self._find(origin).snapshots:
            raise InvalidOptions(f"volume {origin.name!r} has no snapshot {snapshot!r}")
        return self._make("clone", name, options.size, origin=f"{origin.handle}@{snapshot}")

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Cut a node off. Already cut off, or never attached, is success."""
        with self.cloud.call("fence", volume.name):
            found = self._find(volume)
            found.nodes.pop(node_id, None)
            found.fenced.add(node_id)
            return f"the fake cloud took {volume.name} from {node_id}"

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List the nodes that have a volume."""
        with self.cloud.call("attachments", volume.name):
            nodes = self._find(volume).nodes
            return [Attachment(node, since) for node, since in sorted(nodes.items())]

    def _make(self, verb: str, name: str, size: Size, *, origin: str) -> str:
        handle = "fake-" + hashlib.sha256(name.encode()).hexdigest()[:16]
        with self.cloud.call(verb, name):
            if handle not in self.cloud.volumes:
                if size < 1:
                    raise InvalidOptions(f"size={size} is too small: a volume needs a byte")
                self._admit(size)
                self.cloud.volumes[handle] = FakeVolume(name, size, origin)
        return handle

    def _admit(self, more: int) -> None:
        free = self.config.capacity - sum(volume.size for volume in self.cloud.volumes.values())
        if more > free:
            raise Exhausted(f"no room for {Size(more)}: {Size(free)} are free; delete volumes")

    def _find(self, volume: Volume[Any]) -> FakeVolume:
        found = self.cloud.volumes.get(volume.handle)
        if found is None:
            raise VolumeNotFound(f"the fake cloud has no volume {volume.handle!r}")
        return found
