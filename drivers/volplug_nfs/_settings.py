"""What operators and users can set on the NFS drivers."""

import re
from dataclasses import dataclass
from pathlib import Path

from volplug.sdk import FLAG, NUMBER, OnDelete, option
from volplug_nfs._probe import VERSIONS

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", re.ASCII)
_PATH = re.compile(r"(/[A-Za-z0-9_.-]+)+", re.ASCII)
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", re.ASCII)

WORDS = {
    "hard": FLAG,
    "soft": FLAG,
    "softerr": FLAG,
    "softreval": FLAG,
    "timeo": NUMBER,
    "retrans": NUMBER,
    "rsize": NUMBER,
    "wsize": NUMBER,
    "nconnect": "=([1-9]|1[0-6])",
    "max_connect": "=([1-9]|1[0-6])",
    "noresvport": FLAG,
    "resvport": FLAG,
    "nosharecache": FLAG,
    "sharecache": FLAG,
    "lookupcache": "=(all|none|pos|positive)",
    "actimeo": NUMBER,
    "acregmin": NUMBER,
    "acregmax": NUMBER,
    "acdirmin": NUMBER,
    "acdirmax": NUMBER,
    "ac": FLAG,
    "noac": FLAG,
    "nolock": FLAG,
    "lock": FLAG,
    "sec": "=(sys|krb5|krb5i|krb5p)",
    "xprtsec": "=(none|tls|mtls)",
    "proto": "=(tcp|tcp6|rdma|rdma6)",
    "noatime": FLAG,
    "nodiratime": FLAG,
    "noexec": FLAG,
    "nosuid": FLAG,
    "nodev": FLAG,
    "ro": FLAG,
    "sync": FLAG,
    "trunkdiscovery": FLAG,
}
"""Never those that the mount program or the kernel's VFS take for themselves, such as `bind`."""

SLOTS = {
    **dict.fromkeys(("soft", "softerr"), "hard"),
    "noresvport": "resvport",
    "nosharecache": "sharecache",
    "noac": "ac",
    "nolock": "lock",
}


def _is_path(path: str) -> bool:
    return bool(_PATH.fullmatch(path)) and not {".", ".."} & set(path.split("/"))


@dataclass(frozen=True)
class NfsConfig:
    """Which export, and what operators decide for all that is kept on it."""

    servers: tuple[str, ...] = option(
        help="hosts that serve the export; the first that answers is used",
        check=lambda hosts: all(map(_HOST.fullmatch, hosts)),
        want="host names or IPv4 addresses",
    )
    export: str = option(help="path of the export", check=_is_path, want="such as /srv/volumes")
    versions: tuple[str, ...] = option(
        default=("4.2", "4.1", "3"),
        help="NFS versions to mount with; the first that the server speaks is used",
        check=lambda versions: bool(versions) and set(versions) <= set(VERSIONS),
        want=f"some of {', '.join(VERSIONS)}",
    )
    mount_options: tuple[str, ...] = option(default=(), help="mount options for all volumes")
    allowed_options: tuple[str, ...] = option(
        default=("noatime", "nodiratime", "ro", "actimeo", "lookupcache"),
        help="names of mount options that users may set",
    )
    provision_uid: int = option(default=0, help="user as whom directories are made")
    provision_gid: int = option(default=0, help="group as which directories are made")
    mounted_at: Path | None = option(
        default=None,
        help="where this machine has the export mounted; for servers without NFSv3",
    )
    on_delete: OnDelete = option(
        default=OnDelete.DELETE, help="what becomes of data when a volume is deleted"
    )
    archive_days: float = option(default=30.0, help="how long archived data is kept")
    purge_rate_per_s: int = option(
        default=2000,
        help="files removed per second, at most",
        check=lambda n: n > 0,
        want="1 or more",
    )


@dataclass(frozen=True)
class GaneshaConfig(NfsConfig):
    """How the server itself is reached, to give each volume an export of its own."""

    admin: tuple[str, ...] = option(
        default=(), help="what to put before dbus-send: nothing on the server itself, or ssh, filer"
    )
    node_address: str = option(
        default="",
        help="this node's address as the server sees it; found by itself if empty",
        check=lambda address: not address or _ADDRESS.fullmatch(address) is not None,
        want="an IPv4 address",
    )


def is_address(node_id: str) -> bool:
    """Say whether a node is called by an address, which can stand in a list of clients."""
    return _ADDRESS.fullmatch(node_id) is not None
