"""What authors of drivers, hosts and stores test theirs with: contracts, fakes, a clock."""

import volplug.testing._assertions  # noqa: F401  before the contracts are imported
from volplug.testing.abilities import CloneableContract, ExpandableContract, FencingContract
from volplug.testing.catalog import CatalogContract
from volplug.testing.clock import FakeClock
from volplug.testing.disk import DiskContract
from volplug.testing.driver import DriverContract
from volplug.testing.fake_driver import FakeCloud, FakeConfig, FakeDriver, FakeOptions
from volplug.testing.fake_host import FakeHost
from volplug.testing.host import HostContract
from volplug.testing.host_fixtures import HostFixtures
from volplug.testing.known import Image, Known
from volplug.testing.lease import LeaseContract
from volplug.testing.lease_fixtures import LeaseStore
from volplug.testing.memory import MemoryCatalog, MemoryLeases, MemoryMounts
from volplug.testing.mount import MountContract
from volplug.testing.mount_table import MountTableContract
from volplug.testing.snapshots import SnapshottableContract

__all__ = [
    "CatalogContract",
    "CloneableContract",
    "DiskContract",
    "DriverContract",
    "ExpandableContract",
    "FakeClock",
    "FakeCloud",
    "FakeConfig",
    "FakeDriver",
    "FakeHost",
    "FakeOptions",
    "FencingContract",
    "HostContract",
    "HostFixtures",
    "Image",
    "Known",
    "LeaseContract",
    "LeaseStore",
    "MemoryCatalog",
    "MemoryLeases",
    "MemoryMounts",
    "MountContract",
    "MountTableContract",
    "SnapshottableContract",
]
