"""Exports of nfs-ganesha, one per volume, and the nodes that may use each.

The server takes orders over D-Bus, which does not leave its machine, and reads an export from a
file there. The file needs no second way: the pool lies on the server's own disk at the path that it
is exported under, so we write the file over NFS and name it over D-Bus. What D-Bus changed is gone
when the server restarts, so all.conf lists the files for its own configuration to include.
"""

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress

from volplug.sdk import Exhausted, HostError, Subdirectories, Unavailable, by_way_of, run, turn

_PLACE = ".volplug/exports"
_TURN = "exports"
_IDS = range(1000, 65000)
_OBJECT = "/org/ganesha/nfsd/ExportMgr"
_INTERFACE = "org.ganesha.nfsd.exportmgr"
_CLIENT = re.compile(r'string "(?:::ffff:)?([0-9.]+)(?:/32)?"')
_NOTED = ("export", "nodes")
_UNKNOWN = "Export id not found"


class Exports:
    """The exports of the volumes on one server."""

    def __init__(self, volumes: Subdirectories, pool: str, admin: Sequence[str]) -> None:
        self._volumes, self._pool, self._admin = volumes, pool, tuple(admin)
        self._tree = volumes.tree

    def allow(self, handle: str, address: str) -> None:
        """Let a node use the volume; that it may already is success."""
        if address not in self.clients(handle):
            with turn(self._tree, _TURN):
                known = self._volumes.notes(handle)
                number = known.get("export") or self._claim(handle)
                nodes = sorted({*known.get("nodes", []), address})
                self._volumes.note(handle, {**known, "export": number, "nodes": nodes})
                self._apply(handle, number, nodes)

    def refuse(self, handle: str, address: str) -> list[str]:
        """Take the volume from a node and return who has it still, as the server says.

        In force when this returns: the server looks at each request anew. Raises Unavailable if it
        does not confirm. Nothing to take is success.
        """
        with turn(self._tree, _TURN):
            known = self._volumes.notes(handle)
            nodes = [node for node in known.get("nodes", []) if node != address]
            if known.get("export"):
                self._volumes.note(handle, {**known, "nodes": nodes})
                self._apply(handle, known["export"], nodes)
        left = self.clients(handle)
        if address in left:
            raise Unavailable(f"the NFS server still lists {address} for {handle}")
        return left

    def drop(self, handle: str) -> None:
        """Remove the volume's export with all its state; gone already is success."""
        number = self._volumes.notes(handle).get("export")
        if number is None:
            return
        with turn(self._tree, _TURN):
            self._order("RemoveExport", f"uint16:{number}")
            self._index(number, listed=False)
            # The number is free for others from the last step on: until then it must be forgotten.
            known = self._volumes.notes(handle)
            self._volumes.note(handle, {k: v for k, v in known.items() if k not in _NOTED})
            with suppress(FileNotFoundError):
                self._tree.unlink(f"{_PLACE}/{number}/export.conf")
            with suppress(FileNotFoundError):
                self._tree.rmdir(f"{_PLACE}/{number}")

    def clients(self, handle: str) -> list[str]:
        """Return the nodes that the server itself lists for the volume."""
        number = self._volumes.notes(handle).get("export")
        if number is None:
            return []
        return _CLIENT.findall(self._order("DisplayExport", f"uint16:{number}"))

    def _apply(self, handle: str, number: int, nodes: Sequence[str]) -> None:
        """Write the export down and let the server read it, which adds it if it is new."""
        file = f"{_PLACE}/{number}/export.conf"
        fresh = f"{_PLACE}/{number}/fresh"
        path = f"{self._pool}/{self._volumes.path(handle)}"
        self._tree.write(fresh, _block(number, path, nodes))
        self._tree.rename(fresh, file)
        self._index(number, listed=True)
        place = f"{self._pool}/{file}"
        self._order("UpdateExport", f"string:{place}", f"string:EXPORT(Export_Id={number})")

    def _claim(self, handle: str) -> int:
        """Return a number that no other volume has, near one that follows from the handle."""
        with suppress(FileExistsError):
            self._tree.mkdir(_PLACE)
        start = int(hashlib.sha256(handle.encode()).hexdigest(), 16)
        for offset in range(200):
            number = _IDS[(start + offset) % len(_IDS)]
            with suppress(FileExistsError):
                self._tree.mkdir(f"{_PLACE}/{number}")
                return number
        raise Exhausted("no export number is free near this volume's: remove volumes first")

    def _index(self, number: int, *, listed: bool) -> None:
        """List an export, or not, in the file that the server's own configuration includes."""
        line = f'%include "{self._pool}/{_PLACE}/{number}/export.conf"'
        lines: set[str] = set()
        with suppress(FileNotFoundError):
            lines = set(self._tree.read(f"{_PLACE}/all.conf").splitlines())
        if (line in lines) == listed:
            return
        lines ^= {line}
        self._tree.write(f"{_PLACE}/fresh", "".join(f"{one}\n" for one in sorted(lines)))
        self._tree.rename(f"{_PLACE}/fresh", f"{_PLACE}/all.conf")

    def _order(self, verb: str, *arguments: str) -> str:
        """Give the server an order; an export that it does not know is an empty answer."""
        words = ("dbus-send", "--system", "--print-reply", "--dest=org.ganesha.nfsd", _OBJECT)
        try:
            order = (*words, f"{_INTERFACE}.{verb}", *arguments)
            return run(by_way_of(self._admin, order)).stdout
        except HostError as error:
            if _UNKNOWN in str(error):
                return ""
            raise Unavailable(
                f"nfs-ganesha did not take the order {verb}: {error}; check that it runs with "
                "D-Bus, and `admin`"
            ) from error


def _block(number: int, path: str, nodes: Sequence[str]) -> str:
    rights = "Access_Type = RW; Squash = No_Root_Squash;"
    client = f"CLIENT {{ Clients = {', '.join(nodes)}; {rights} }}" if nodes else ""
    return (
        f"EXPORT {{ Export_Id = {number}; Path = {path}; Pseudo = {path}; Access_Type = NONE; "
        f"Protocols = 3, 4; SecType = sys; Squash = No_Root_Squash; FSAL {{ Name = VFS; }} "
        f"{client} }}\n"
    )
