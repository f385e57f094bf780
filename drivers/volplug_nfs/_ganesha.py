"""The driver with an export per volume on nfs-ganesha: the one that can cut a node off.

Who may use a volume is a list that the server checks at each request, so a node that is taken from
it fails with its very next write (backends-file 2.5). That is a gate: whoever is let in again goes
on with the handles it had, and so only comes back through a new lease.
"""

import re
import socket
from collections.abc import Mapping
from typing import Any

from volplug.sdk import (
    Attachment,
    Describing,
    Driver,
    Fencing,
    InvalidOptions,
    Share,
    SubdirectoryOptions,
    Unavailable,
    Volume,
)
from volplug_nfs._driver import NfsDriver
from volplug_nfs._exports import Exports
from volplug_nfs._probe import PORT
from volplug_nfs._settings import GaneshaConfig, is_address

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+", re.ASCII)
"""Paths that can stand in the server's configuration, where other characters have a meaning."""


class GaneshaDriver(Driver[GaneshaConfig, SubdirectoryOptions], Describing, Fencing):
    """An export per volume that only the nodes it is attached to can use."""

    access_modes = NfsDriver.access_modes
    size_enforced = "not kept: the server's quotas"
    attach_limit = "none"
    fence_proof = "the export has no client of that address, read back"
    late_writes = "what the server was at work on: 0.5 ms"
    needs = (*NfsDriver.needs, "dbus-send")

    def __init__(self, config: GaneshaConfig) -> None:
        super().__init__(config)
        if len(config.servers) != 1:
            raise InvalidOptions(
                "nfs-ganesha wants one server: a fence at one of several would leave the others "
                "open; give the address that moves when they fail over"
            )
        self._plain = NfsDriver(config)

    def node_id(self) -> str:
        """Return the address from which this machine reaches the server."""
        if self.config.node_address:
            return self.config.node_address
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((self.config.servers[0], PORT))
                return str(probe.getsockname()[0])
        except OSError as error:
            raise Unavailable(
                f"no way to {self.config.servers[0]} ({error.strerror}): set node_address"
            ) from error

    def create(self, name: str, options: SubdirectoryOptions) -> str:
        """Make or adopt the directory; its export comes with the first node."""
        if not _PLAIN.fullmatch(options.path or "v"):
            raise InvalidOptions(
                f"path={options.path!r} is not allowed on this backend: wanted letters, digits "
                "and ./_-"
            )
        return self._plain.create(name, options)

    def delete(self, volume: Volume[Any]) -> None:
        """Remove the export, then rename the directory away."""
        self._exports().drop(volume.handle)
        self._plain.delete(volume)

    def attach(self, volume: Volume[Any], node_id: str) -> Share:
        """Let the node use the export, and name it."""
        share = self._plain.attach(volume, node_id)
        self._exports().allow(volume.handle, _address(node_id))
        return share

    def detach(self, volume: Volume[Any], node_id: str) -> None:
        """Take the export from the node."""
        if _address(node_id) in self._exports().clients(volume.handle):
            self._exports().refuse(volume.handle, node_id)

    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Take the export from the node, and see that the server lists it no more."""
        left = self._exports().refuse(volume.handle, _address(node_id))
        return (
            f"nfs-ganesha on {self.config.servers[0]} lists {', '.join(left) or 'nobody'} for the "
            f"export of volume '{volume.name}', and not {node_id}: it refuses the node's next write"
        )

    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List the nodes that the server lists for the export."""
        return [Attachment(node) for node in self._exports().clients(volume.handle)]

    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell what the plain driver tells, and who may use the export."""
        nodes = ", ".join(self._exports().clients(volume.handle)) or "nobody"
        return {**self._plain.describe(volume), "exported_to": nodes}

    def _exports(self) -> Exports:
        return Exports(self._plain.volumes(), self.config.export, self.config.admin)


def _address(node_id: str) -> str:
    if not is_address(node_id):
        raise InvalidOptions(f"{node_id!r} is not the IPv4 address of a node")
    return node_id
