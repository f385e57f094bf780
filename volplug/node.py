"""What one node has to work with: stores, backends, a host, and what is under way on it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from volplug.backends import Backends
from volplug.catalog import Catalog
from volplug.guarding import Guarding, Unguarded
from volplug.host import Host
from volplug.journal import Journal
from volplug.lease import LeaseTable
from volplug.mount_table import MountTable
from volplug.operations import Operations


def utc_now() -> datetime:
    """Return the time as records show it to people: UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The parts that every use case draws on; `boot_id` names this life of the kernel."""

    name: str
    boot_id: str
    catalog: Catalog
    leases: LeaseTable
    mount_table: MountTable
    backends: Backends
    host: Host
    operations: Operations
    guard: Guarding = field(default_factory=Unguarded)
    now: Callable[[], datetime] = utc_now
    journal: Journal = field(default_factory=Journal)
