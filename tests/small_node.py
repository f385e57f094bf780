"""A node of fakes that keep the real ones' contracts: the use cases' world, in memory."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from volplug.administration import Administration
from volplug.backends import Backends
from volplug.catalog import Record
from volplug.controller import Controller
from volplug.deadline import deadline, wait_until
from volplug.journal import Journal
from volplug.keeper import Keeper
from volplug.ladder import Ladder
from volplug.mounts import Mounts
from volplug.node import Node
from volplug.operations import Operations
from volplug.service import Service
from volplug.session import Session
from volplug.testing import (
    FakeClock,
    FakeCloud,
    FakeConfig,
    FakeDriver,
    FakeHost,
    MemoryCatalog,
    MemoryLeases,
    MemoryMounts,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GRACE_S = 150.0


class SmallNode:
    """One node with a backend `gold` in a cloud; `beside` another one, it shares cloud and stores.

    `restart` puts the use cases together anew over the same stores, as a new process does.
    """

    def __init__(
        self,
        directory: Path,
        name: str = "n1",
        beside: "SmallNode | None" = None,
    ) -> None:
        self.name = name
        self.boot_id = "boot-1"
        self.cloud: FakeCloud = beside.cloud if beside else FakeCloud()
        self.catalog: MemoryCatalog = beside.catalog if beside else MemoryCatalog()
        self.table = MemoryMounts()
        self.host = FakeHost(directory / name)
        self.clock: FakeClock = beside.clock if beside else FakeClock()
        self._beside = beside
        self._directory = directory / f"{name}-journal"
        self._earlier: MemoryLeases | None = None
        self.leases: MemoryLeases
        self.restart()

    def restart(self, boot_id: str = "boot-1") -> None:
        """Begin a new life of the process, and of the machine if the boot id is another."""
        self.boot_id = boot_id
        session = Session(self.name, boot_id, "hw-" + self.name, secrets.token_hex(4))
        earlier = self._beside.leases if self._beside else self._earlier
        self.leases = self._earlier = MemoryLeases(session, clock=self.clock, beside=earlier)
        self.node = Node(
            name=self.name,
            boot_id=boot_id,
            catalog=self.catalog,
            leases=self.leases,
            mount_table=self.table,
            backends=self._backends(),
            host=self.host,
            operations=Operations(),
            now=lambda: NOW,
            journal=Journal(self._directory, node=self.name, boot_id=boot_id),
        )
        self.controller = Controller(self.node)
        self.ladder = Ladder(self.node, wait_s=0.2)
        self.mounts = Mounts(
            self.node, self.ladder, wait_s=0.2, grace_s=GRACE_S, now_s=self.clock.now
        )
        self.keeper = Keeper(self.node, self.controller, self.mounts)
        self.service = Service(self.node, self.controller, self.mounts, self.keeper)
        self.administration = Administration(self.node, self.controller, self.mounts)

    def settle(self) -> None:
        """Wait until nothing is under way on this node's volumes."""
        names = [record.name for record in self.catalog.records()]
        with deadline(30):
            wait_until(
                lambda: not any(self.node.operations.running(name) for name in names),
                "the operations to end",
                poll_s=0.01,
            )

    def create(self, name: str, options: Mapping[str, str] | None = None) -> Record:
        """Create a volume and return its record."""
        self.service.create(name, options or {})
        return self.record(name)

    def record(self, name: str) -> Record:
        """Return the record of a volume that exists."""
        record = self.catalog.get(name)
        assert record is not None
        return record

    def _backends(self) -> Backends:
        cloud, name = self.cloud, self.name

        class Bound(FakeDriver):
            def __init__(self, config: FakeConfig) -> None:
                super().__init__(replace(config, node=name), cloud)

        settings = {"gold": {"driver": "fake"}, "silver": {"driver": "fake"}}
        return Backends(settings, default="gold", load=lambda _: Bound, state_dir=Path("/nowhere"))
