"""The driver that may run the gluster command: sizes as quotas, fences at the servers.

A fence is the removal of a node's address from those that may mount the one subdirectory. Gluster
drops the client's connections, and the client then unmounts itself and ends (backends-file 3.6);
other volumes of the same node, and other nodes of the same volume, go on. `_fence.py` proves it.
Once this is used, nobody but `admin_addresses` and nodes with an attached volume reaches the
Gluster volume.
"""

import re
import socket
from collections.abc import Mapping
from typing import Any

from volplug.sdk import (
    Attachment,
    Describing,
    Driver,
    Expandable,
    Fencing,
    InvalidOptions,
    Share,
    Size,
    Unavailable,
    Volume,
)
from volplug_glusterfs._access import Access
from volplug_glusterfs._cluster import Cluster
from volplug_glusterfs._driver import GlusterDriver
from volplug_glusterfs._fence import Fence
from volplug_glusterfs._quota import Quota
from volplug_glusterfs._settings import ManagedGlusterConfig, ManagedGlusterOptions, address

_PLAIN = re.compile(r"[A-Za-z0-9_./ -]+", re.ASCII)
"""Paths that can stand in auth.allow, where other characters have a meaning."""


class ManagedGlusterDriver(
    Driver[ManagedGlusterConfig, ManagedGlusterOptions], Describing, Expandable, Fencing
):
    """A subdirectory per volume that only the nodes it is attached to can mount."""

    access_modes = GlusterDriver.access_modes
    size_enforced = "a quota, hard or soft by its timeouts"
    attach_limit = "some thousands in all"
    fence_proof = (
        "the node's address is refused, and every brick has since ended the connections that this "
        "forbids, and their calls"
    )
    late_writes = "none in 93 fences of a writing node in the lab"
    needs = GlusterDriver.needs

    def __init__(self, config: ManagedGlusterConfig) -> None:
        super().__init__(config)
        if not config.admin_addresses:
            raise InvalidOptions(
                "glusterfs-managed needs admin_addresses: the addresses of all nodes that run "
                "volplug, for they lose the Gluster volume otherwise"
            )
        self._plain = GlusterDriver(config)
        self._volumes = self._plain.volumes
        self._cluster, tree = Cluster(config.admin, config.volume), self._volumes.tree
        self._access = Access(self._cluster, tree, config.admin_addresses)
        self._fence = Fence(self._cluster, self._access, tree, config.servers, self.node_id)
        self._quota = Quota(self._cluster, tree, allowed=config.quota)

    def node_id(self) -> str:
        """Return the address from which this machine reaches the first server."""
        if self.config.node_address:
            return self.config.node_address
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((self.config.servers[0], 24007))
                return str(probe.getsockname()[0])
        except OSError as error:
            raise Unavailable(
                f"no way to {self.config.servers[0]} ({error.strerror}): set node_address"
            ) from error

    def create(self, name: str, options: ManagedGlusterOptions) -> str:
        """Make or adopt the directory and set its quota."""
        if not _PLAIN.fullmatch(options.path or "v"):
            raise InvalidOptions(
                f"path={options.path!r} is not allowed on this backend: wanted letters, digits, "
                "blanks and ./_-"
            )
        if options.size is not None:
            self._quota.check(options.size)
        handle = self._plain.create(name, options)
        if options.size is not None:
            self._quota.limit(self._volumes.path(handle), options.size)
        return handle

    def delete(self, volume: Volume[Any]) -> None:
        """Take the directory from all clients, then rename it away."""
        self._access.forget(self._volumes.path(volume.handle))
        self._plain.delete(volume)

    def attach(self, volume: Volume[Any], node_id: str) -> Share:
        """Let the node mount the directory, and name it."""
        share = self._plain.attach(volume, node_id)
        path = self._volumes.path(volume.handle)
        self._access.allow(path, address(node_id))
        return share

    def detach(self, volume: Volume[Any], node_id: str) -> None:
        """Take the directory from the node."""
        self._access.refuse(self._volumes.path(volume.handle), address(node_id))

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Take the directory from the node, and have each brick show that it has let go of it."""
        path = self._volumes.path(volume.handle)
        left = ", ".join(sorted(self._fence.cut(path, address(node_id)))) or "nobody"
        return (
            f"auth.allow of Gluster volume {self.config.volume!r} lets {left} mount /{path}, and "
            f"not {node_id}; each of its bricks has since ended the connections that this forbids, "
            "and the calls that it was at work on"
        )

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List who may mount the directory, and who lost it without the bricks' word for that."""
        self._cluster.check_peers()
        nodes = self._access.reaching(self._volumes.path(volume.handle))
        return [Attachment(address) for address in sorted(nodes)]

    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Raise the quota."""
        self._quota.check(size)
        self._quota.raise_to(self._volumes.check(volume.name, volume.handle), size)

    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell whether the size is enforced at once, late, or not at all."""
        size = volume.options.size
        enforced = "none" if size is None else self._quota.enforced()
        return {**self._plain.describe(volume), "size_enforced": enforced}
