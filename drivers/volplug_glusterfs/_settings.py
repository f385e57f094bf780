"""What operators and users can set on the Gluster drivers."""

import re
from dataclasses import dataclass

from volplug.sdk import InvalidOptions, OnDelete, Size, SubdirectoryOptions, option

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-f:]+:[0-9a-f:]*", re.ASCII)
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-f:]*:[0-9a-f:]*", re.ASCII)


@dataclass(frozen=True)
class GlusterConfig:
    """Which Gluster volume, and what operators decide for all that is kept on it."""

    servers: tuple[str, ...] = option(
        help="hosts to ask for the volume, in this order",
        check=lambda hosts: all(map(_HOST.fullmatch, hosts)),
        want="host names or addresses",
    )
    volume: str = option(
        help="name of the Gluster volume",
        check=lambda name: re.fullmatch(r"[A-Za-z0-9_-]+", name, re.ASCII) is not None,
        want="letters, digits, '_' and '-'",
    )
    ping_timeout_s: int = option(
        default=10,
        help="how long a brick may be silent before its client goes on without it",
        check=lambda seconds: 1 <= seconds <= 42,
        want="1 to 42 seconds",
    )
    mount_options: tuple[str, ...] = option(default=(), help="mount options for all volumes")
    allowed_options: tuple[str, ...] = option(
        default=("noatime", "ro"), help="names of mount options that users may set"
    )
    on_delete: OnDelete = option(
        default=OnDelete.DELETE, help="what becomes of data when a volume is deleted"
    )
    archive_days: float = option(default=30.0, help="how long archived data is kept")
    purge_rate_per_s: int = option(
        default=500,
        help="files removed per second, at most",
        check=lambda n: n > 0,
        want="1 or more",
    )


@dataclass(frozen=True)
class ManagedGlusterConfig(GlusterConfig):
    """What the administrator's command is, and who may always mount the whole volume."""

    admin_addresses: tuple[str, ...] = option(
        default=(),
        help="addresses that may mount the whole Gluster volume: of all nodes that run volplug",
        check=lambda addresses: all(map(_ADDRESS.fullmatch, addresses)),
        want="IP addresses",
    )
    admin: tuple[str, ...] = option(
        default=("gluster",), help="the gluster command, or how to run it: ssh, filer, gluster"
    )
    quota: bool = option(default=False, help="whether volumes may have a size, as a quota")
    node_address: str = option(
        default="", help="this node's address as the servers see it; found by itself if empty"
    )


@dataclass(frozen=True)
class ManagedGlusterOptions(SubdirectoryOptions):
    """What a user says of one volume."""

    size: Size | None = option(default=None, help="largest size of the data; kept by a quota")


def address(node_id: str) -> str:
    """Return a node's address, which becomes part of a list with its own punctuation."""
    if not _ADDRESS.fullmatch(node_id):
        raise InvalidOptions(f"{node_id!r} is not the IP address of a node")
    return node_id
