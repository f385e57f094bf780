"""What the contract of lease tables stands on: nodes' tables over one store, and their clock."""

from typing import Protocol

import pytest

from volplug.lease import LeaseTable
from volplug.session import HOLD_MS, Session, silence_s
from volplug.testing.clock import FakeClock
from volplug.volume import AccessMode

TIMES = 10
"""How often a repetition is tried."""
W = silence_s(HOLD_MS)
"""After how many seconds of silence a lease lapses."""
EXCLUSIVE = AccessMode.SINGLE_WRITER


class LeaseStore(Protocol):
    """A store of leases that several nodes share, as the contract needs it."""

    def table(self, session: Session, clock: FakeClock) -> LeaseTable:
        """Return the leases as this session sees them; `clock.utc` is the wall clock."""
        ...

    def reopen(self) -> None:
        """Lose what a restart loses. Tables from before are not used again."""
        ...


class Tables(Protocol):
    """Makes a node's table."""

    def __call__(
        self,
        node: str = "a",
        *,
        boot: str = "boot-1",
        machine: str | None = None,
        instance: str = "instance-1",
        hold_ms: int = HOLD_MS,
    ) -> LeaseTable:
        """Register the session and return its table; each node has a machine of its own."""
        ...


class LeaseFixtures:
    """What the tests of a lease table stand on; `store` is the one to provide."""

    @pytest.fixture
    def store(self) -> LeaseStore:
        """Provide an empty store."""
        raise NotImplementedError("provide the fixture `store`: an empty LeaseStore")

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Provide the clock that all nodes go by."""
        return FakeClock()

    @pytest.fixture
    def table(self, store: LeaseStore, clock: FakeClock) -> Tables:
        """Provide the factory of tables."""

        def make(
            node: str = "a",
            *,
            boot: str = "boot-1",
            machine: str | None = None,
            instance: str = "instance-1",
            hold_ms: int = HOLD_MS,
        ) -> LeaseTable:
            hardware_id = f"machine of {node}" if machine is None else machine
            return store.table(Session(node, boot, hardware_id, instance, hold_ms), clock)

        return make
