"""Speaks to a running volplug over its unix socket, with nothing but the standard library.

As a managed plugin volplug serves on a socket of the same name one directory deeper, below the
plugin's id (docker-contract 5.1); it is found there, so that one command serves every install.
"""

import http.client
import json
import socket
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from volplug.admin import wire
from volplug.errors import AccessDenied, DeadlineExceeded, InvalidOptions, Unavailable
from volplug.lease import Lease
from volplug.options import Size

# Above every deadline that volplug can be told to keep.
_PATIENCE_S = 130


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, patience_s: float = _PATIENCE_S) -> None:
        super().__init__("volplug", timeout=patience_s)
        self.path = path

    def connect(self) -> None:
        """Connect; raise OSError as the kernel puts it."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Client:
    """A running volplug. Every verb raises the refusal it was answered with.

    Raises Unavailable, with the socket and how to start volplug, when nobody answers.
    """

    def __init__(self, path: Path, patience_s: float = _PATIENCE_S) -> None:
        self.path = _found(path)
        self._patience_s = patience_s

    def volumes(self) -> list[dict[str, Any]]:
        """Describe every volume."""
        return list(self._call(wire.VOLUMES)["Volumes"])

    def inspect(self, name: str) -> dict[str, Any]:
        """Describe one volume; raise VolumeNotFound."""
        return dict(self._call(wire.INSPECT, Name=name)["Volume"])

    def leases(self, name: str | None = None) -> list[Lease]:
        """List the leases of one volume, or all."""
        return [wire.to_lease(fields) for fields in self._call(wire.LEASES, Name=name)["Leases"]]

    def why(self, name: str) -> dict[str, Any]:
        """Say who holds a volume, what was tried, what happens next, and what to do now."""
        return dict(self._call(wire.WHY, Name=name)["Why"])

    def journal(self, name: str | None, since: datetime | None) -> list[dict[str, Any]]:
        """List what this node did with a volume, or with all, oldest first."""
        return list(self._call(wire.JOURNAL, Name=name, Since=since)["Entries"])

    def release(self, name: str, *, by: str, reason: str) -> str:
        """Condemn the leases of a volume on a person's word; return what was done."""
        return str(self._call(wire.RELEASE, Name=name, By=by, Reason=reason)["Done"])

    def nodes(self) -> list[dict[str, Any]]:
        """Describe every node."""
        return list(self._call(wire.NODES)["Nodes"])

    def evict(self, node: str, *, by: str, reason: str) -> str:
        """Free all leases of a node that a person attests to be off; return what was done."""
        return str(self._call(wire.EVICT, Node=node, By=by, Reason=reason)["Done"])

    def forget(self, node: str) -> str:
        """Forget a node that is gone for good; return what was done."""
        return str(self._call(wire.FORGET, Node=node)["Done"])

    def expand(self, name: str, size: Size) -> None:
        """Make a volume at least that large, in use or not; repeating is success."""
        self._call(wire.EXPAND, Name=name, Size=str(int(size)))

    def snapshot(self, name: str, snapshot: str) -> dict[str, Any]:
        """Keep what a volume holds now under a name; tell what that is worth."""
        return dict(self._call(wire.SNAPSHOT, Name=name, Snapshot=snapshot)["Taken"])

    def snapshots(self, name: str) -> list[dict[str, Any]]:
        """List the snapshots of a volume."""
        return list(self._call(wire.SNAPSHOTS, Name=name)["Snapshots"])

    def remove_snapshot(self, name: str, snapshot: str) -> None:
        """Delete a snapshot; one that is gone is success."""
        self._call(wire.UNSNAPSHOT, Name=name, Snapshot=snapshot)

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Create a volume as Docker would; repeating with the same options is success."""
        self._call(wire.CREATE, Name=name, Opts=dict(options))

    def remove(self, name: str) -> None:
        """Remove a volume as Docker would, but raise VolumeNotFound if there is none."""
        self.inspect(name)
        self._call(wire.REMOVE, Name=name)

    def _call(self, call: str, **body: Any) -> Mapping[str, Any]:
        connection = UnixConnection(self.path, self._patience_s)
        try:
            connection.request("POST", call, wire.dump(body).encode())
            reply = connection.getresponse()
            return wire.check(_understood(reply.status, reply.read(), self.path))
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"volplug at {self.path} did not answer within {self._patience_s:g} seconds; "
                "its log says what it waits for"
            ) from error
        except PermissionError as error:
            raise AccessDenied(
                f"no permission to open {self.path}: run this as root, for example with sudo"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Unavailable(
                f"volplug is not running at {self.path}: start it with `volplug serve` or "
                "`systemctl start volplug`, or name its socket with --socket"
            ) from error
        except ConnectionError as error:
            raise Unavailable(
                f"volplug at {self.path} closed the connection without an answer: its log says "
                "why, and repeating the command is safe"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise InvalidOptions(f"cannot speak to volplug at {self.path}: {error}") from error
        finally:
            connection.close()


def _understood(status: int, body: bytes, path: Path) -> dict[str, Any]:
    """Return a reply's JSON object; raise Unavailable if somebody else answers there."""
    try:
        reply = json.loads(body)
    except ValueError:
        reply = None
    if status != http.client.OK or not isinstance(reply, dict):
        raise Unavailable(
            f"what answers at {path} is not a volplug that knows this command (HTTP {status})"
        )
    return reply


def _found(path: Path) -> Path:
    """Return the socket, or the one of a managed plugin if that is the only one there."""
    if path.exists():
        return path
    deeper = sorted(path.parent.glob(f"*/{path.name}")) if path.parent.is_dir() else []
    return deeper[0] if len(deeper) == 1 else path
