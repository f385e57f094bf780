"""A driver for the lab: volumes are directories that the file server has already.

The shortest way from `docker run` to a real NFS mount; what it mounts is all that is tested by it.
"""

from dataclasses import dataclass

from volplug.sdk import AccessMode, Driver, Share, Volume, option


@dataclass(frozen=True)
class ShareConfig:
    """Where the directories are, and how they are mounted."""

    export: str = option(help="server and directory that holds the volumes, as mount wants it")
    version: str = option(help="version of NFS", default="4.2")


@dataclass(frozen=True)
class ShareOptions:
    """Nothing is to be said of a volume."""


class ShareDriver(Driver[ShareConfig, ShareOptions]):
    """A directory of the server per volume, never made and never deleted."""

    access_modes = frozenset(AccessMode)

    def create(self, name: str, options: ShareOptions) -> str:
        """Take the directory of that name for granted."""
        del options
        return name

    def delete(self, volume: Volume[ShareOptions]) -> None:
        """Leave the directory to the server."""

    def attach(self, volume: Volume[ShareOptions], node_id: str) -> Share:
        """Name the directory."""
        del node_id
        words = (f"vers={self.config.version}", "hard", "timeo=600", "retrans=2", "retry=0")
        return Share("nfs", f"{self.config.export}/{volume.handle}", words)
