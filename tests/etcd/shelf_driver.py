"""A driver whose disks lie where all nodes reach them, and which cannot refuse any: level 1.

Images in one directory stand for what another node could attach just as well.
"""

from dataclasses import dataclass
from pathlib import Path

from volplug.sdk import AccessMode, Device, Driver, LoopFile, Volume, option

_SIZE_BYTES = 32 << 20


@dataclass(frozen=True)
class ShelfConfig:
    """Where the images are."""

    directory: Path = option(help="directory of the images")


@dataclass(frozen=True)
class ShelfOptions:
    """Nothing is to be said of a volume."""


class ShelfDriver(Driver[ShelfConfig, ShelfOptions]):
    """An image per volume."""

    access_modes = frozenset({AccessMode.SINGLE_WRITER, AccessMode.SINGLE_CONTAINER})

    def create(self, name: str, options: ShelfOptions) -> str:
        """Make the image, unless it is there."""
        del options
        with (self.config.directory / name).open("ab") as file:
            file.truncate(_SIZE_BYTES)
        return name

    def delete(self, volume: Volume[ShelfOptions]) -> None:
        """Remove the image."""
        (self.config.directory / volume.handle).unlink(missing_ok=True)

    def attach(self, volume: Volume[ShelfOptions], node_id: str) -> Device:
        """Name the image."""
        del node_id
        return Device(LoopFile(self.config.directory / volume.handle), "ext4")


def install(site: Path) -> None:
    """Make the driver known, as `shelf`, to programs that have this directory in PYTHONPATH."""
    metadata = site / "volplug_shelf-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: volplug-shelf\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[volplug.drivers]\nshelf = tests.etcd.shelf_driver:ShelfDriver\n"
    )
