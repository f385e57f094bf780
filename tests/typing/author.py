"""A driver as a stranger writes it: never run, only type-checked (`mypy` reads tests/typing)."""

from dataclasses import dataclass
from typing import Any, Literal, assert_type

import pytest

from volplug.sdk import (
    AccessMode,
    Attachment,
    Device,
    Driver,
    Exhausted,
    Expandable,
    Fencing,
    NvmeSerial,
    Secret,
    Size,
    Source,
    Unavailable,
    Volume,
    option,
    remaining,
    wait_until,
)
from volplug.testing import DriverContract, ExpandableContract, FencingContract


@dataclass(frozen=True)
class AcmeConfig:
    """What an operator writes into volplug.toml."""

    region: str = option(help="where disks are made")
    key: Secret = option(help="API key")
    retries: int = option(help="how often", default=3, check=lambda n: n >= 0, want="0 or more")


@dataclass(frozen=True)
class AcmeOptions:
    """What a user writes after -o."""

    size: Size = option(help="size", default=Size.parse("10G"))
    fstype: Literal["ext4", "xfs"] = option(help="file system", default="ext4")
    zone: str | None = option(help="zone", default=None)


class AcmeDriver(Driver[AcmeConfig, AcmeOptions], Expandable, Fencing):
    """Disks of a cloud that does not exist."""

    access_modes = frozenset({AccessMode.SINGLE_WRITER, AccessMode.SINGLE_CONTAINER})

    def create(self, name: str, options: AcmeOptions) -> str:
        """Make a disk."""
        assert_type(self.config.key.reveal(), str)
        if options.size > Size.parse("1P"):
            raise Exhausted(f"size={options.size} is more than Acme has: ask for less")
        return f"{self.config.region}/{options.zone or 'a'}/{name}"

    def delete(self, volume: Volume[AcmeOptions]) -> None:
        """Remove a disk."""
        assert_type(volume.options.zone, str | None)

    def attach(self, volume: Volume[AcmeOptions], node_id: str) -> Source:
        """Attach a disk."""
        wait_until(lambda: remaining() > 0, f"disk {volume.handle} at {node_id}")
        return Device(NvmeSerial(volume.handle), fstype=volume.options.fstype)

    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Grow a disk."""
        raise Unavailable(f"Acme does not answer for {volume.name} ({size})")

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Cut a node off."""
        return f"{volume.handle} was detached from {node_id}"

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List who has it."""
        return [Attachment(f"node of {volume.name}")]


class TestAcmeDriver(DriverContract, ExpandableContract, FencingContract):
    """All that there is to test."""

    @pytest.fixture
    def driver(self) -> AcmeDriver:
        """Return the driver."""
        return AcmeDriver(AcmeConfig(region="here", key=Secret("env:ACME_KEY")))

    @pytest.fixture
    def options(self) -> AcmeOptions:
        """Return the defaults."""
        return AcmeOptions()


def use(driver: AcmeDriver) -> None:
    """Call it as the core does."""
    volume = Volume("v", "gold", driver.create("v", AcmeOptions()), AccessMode.SINGLE_WRITER,
                    AcmeOptions(zone="b"))  # fmt: skip
    assert_type(driver.attach(volume, driver.node_id()), Source)
    assert_type(driver.config, AcmeConfig)
