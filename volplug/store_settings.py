"""Where catalog and leases are kept: on this node's disk, or in etcd for all nodes of a cluster.

Every node of a cluster must be told the same store; one that is not has leases of its own, and
protects nothing from the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from volplug import options
from volplug.errors import InvalidOptions
from volplug.options import Secret, option

TABLE = "store"


@dataclass(frozen=True)
class StoreSettings:
    """The keys of [store] in volplug.toml."""

    kind: Literal["sqlite", "etcd"] = option(
        default="sqlite",
        help="sqlite keeps volumes and leases below state_dir, for one node; etcd for a cluster",
    )
    endpoints: tuple[str, ...] = option(
        default=(),
        help="the client addresses of all etcd members, such as https://etcd1:2379",
    )
    prefix: str = option(
        default="/volplug/v1",
        check=lambda prefix: prefix.startswith("/") and prefix.isascii() and " " not in prefix,
        want="a path such as /volplug/v1",
        help="what all keys in etcd begin with, the same on all nodes of a cluster",
    )
    ca: Path | None = option(
        default=None, help="file of the authority that signed etcd's certificate"
    )
    cert: Path | None = option(
        default=None, help="file of the certificate that etcd asks clients for"
    )
    key: Path | None = option(default=None, help="file of that certificate's private key")
    user: str = option(default="", help="user of etcd, where its authentication is enabled")
    password: Secret | None = option(default=None, help="that user's password, by reference")


KEYS = tuple(one.name for one in fields(StoreSettings))


def read(table: Mapping[str, Any], base: Path, problems: list[str]) -> StoreSettings:
    """Read the table; what is wrong with it is added to the problems, in words to people."""
    try:
        settings = options.parse(StoreSettings, table, what=TABLE, base=base)
    except InvalidOptions as error:
        problems.append(str(error))
        return StoreSettings()
    if settings.kind == "etcd" and not settings.endpoints:
        problems.append('store: kind is "etcd", and wants endpoints = ["https://HOST:2379", …]')
    if settings.kind == "sqlite" and table.keys() - {"kind"}:
        problems.append('store: kind is "sqlite", which has no other keys: wanted kind = "etcd"?')
    for one, other in (("cert", "key"), ("user", "password")):
        if bool(getattr(settings, one)) != bool(getattr(settings, other)):
            problems.append(f"store: '{one}' and '{other}' go together, and one of them is missing")
    return settings
