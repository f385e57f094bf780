"""Drivers of an imaginary vendor, installed by a handmade distribution on the path."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from volplug.sdk import (
    AccessMode,
    Device,
    Driver,
    Expandable,
    IscsiLun,
    LoopFile,
    Secret,
    Share,
    Size,
    Source,
    Volume,
    option,
)


@dataclass(frozen=True)
class HallConfig:
    """What the operator says."""

    password: Secret = option(help="where the password is")
    zone: str = option(default="a", help="where disks are made")


@dataclass(frozen=True)
class DiskOptions:
    """What the user says."""

    size: Size = option(help="how large")
    fstype: Literal["ext4", "xfs"] = option(default="xfs", help="file system on the disk")


@dataclass(frozen=True)
class Nothing:
    """No keys at all."""


class HallDisk(Driver[HallConfig, DiskOptions], Expandable):
    """A disk."""

    access_modes = frozenset({AccessMode.SINGLE_WRITER})

    def create(self, name: str, options: DiskOptions) -> str:
        """Answer the name."""
        return f"{name}-{options.size}"

    def delete(self, volume: Volume[DiskOptions]) -> None:
        """Do nothing."""

    def attach(self, volume: Volume[DiskOptions], node_id: str) -> Source:
        """Answer a device."""
        return Device(LoopFile(Path(volume.handle)), node_id)

    def expand(self, volume: Volume[DiskOptions], size: Size) -> None:
        """Do nothing."""


class HallTree(Driver[Nothing, Nothing]):
    """A tree."""

    access_modes = frozenset({AccessMode.SHARED, AccessMode.SHARED_READ})
    needs = ("mount.hall",)

    def create(self, name: str, options: Nothing) -> str:
        """Answer the name."""
        return f"{name}{options}"

    def delete(self, volume: Volume[Nothing]) -> None:
        """Do nothing."""

    def attach(self, volume: Volume[Nothing], node_id: str) -> Source:
        """Answer a share."""
        return Share("hall", f"{volume.handle}@{node_id}")


class HallLun(Driver[Nothing, Nothing]):
    """A disk that is reached over iSCSI."""

    access_modes = frozenset({AccessMode.SINGLE_WRITER})
    needs = ("iscsiadm",)

    def create(self, name: str, options: Nothing) -> str:
        """Answer the name."""
        return f"{name}{options}"

    def delete(self, volume: Volume[Nothing]) -> None:
        """Do nothing."""

    def attach(self, volume: Volume[Nothing], node_id: str) -> Source:
        """Answer a device."""
        return Device(IscsiLun((node_id,), "iqn.2024-01.com.example:hall", 0, volume.handle), "xfs")


ENTRY_POINTS = f"""\
[volplug.drivers]
halldisk = {__name__}:HallDisk
halllun = {__name__}:HallLun
halltree = {__name__}:HallTree
hallgone = hall_that_is_not_there:Driver
"""
