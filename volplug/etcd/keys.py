"""What the keys are called (leases.md 2.6), below a prefix that is volplug's own.

Keys of sessions and volumes are never deleted, so that a comparison of their revision, once it has
failed, fails for ever: on that rests that a request may be repeated blindly. A node may be called
almost anything, a slash included, so its name is quoted.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys below one prefix."""

    prefix: str

    @property
    def meta(self) -> str:
        """The store's own identity."""
        return f"{self.prefix}/meta"

    @property
    def nodes(self) -> str:
        """What all sessions begin with."""
        return f"{self.prefix}/node/"

    def node(self, name: str) -> str:
        """One node's session."""
        return self.nodes + quote(name, safe="")

    @property
    def volumes(self) -> str:
        """What all volumes begin with."""
        return f"{self.prefix}/vol/"

    def volume(self, name: str) -> str:
        """One volume: its record, and what orders all that happens to it."""
        return self.volumes + name

    def leases(self, volume: str | None = None) -> str:
        """Return what the leases of one volume, or all, begin with."""
        return f"{self.prefix}/lease/" + (f"{volume}/" if volume is not None else "")

    def lease(self, volume: str, node: str, incarnation: int) -> str:
        """One lease."""
        return f"{self.leases(volume)}{quote(node, safe='')}/{incarnation}"

    def lease_parts(self, key: str) -> tuple[str, str, int]:
        """Return volume, node and incarnation of a lease's key."""
        volume, node, incarnation = key.removeprefix(self.leases()).split("/")
        return volume, unquote(node), int(incarnation)

    def condemnations(self, volume: str | None = None) -> str:
        """Return what the condemnations of one volume, or all, begin with."""
        return f"{self.prefix}/condemned/" + (f"{volume}/" if volume is not None else "")

    def condemnation(self, volume: str, token: int) -> str:
        """One condemnation."""
        return f"{self.condemnations(volume)}{token}"

    def condemnation_parts(self, key: str) -> tuple[str, int]:
        """Return volume and token of a condemnation's key."""
        volume, token = key.removeprefix(self.condemnations()).split("/")
        return volume, int(token)

    def fences(self, volume: str | None = None) -> str:
        """Return what the fences of one volume, or all, begin with."""
        return f"{self.prefix}/fence/" + (f"{volume}/" if volume is not None else "")

    def fence(self, volume: str, token: int) -> str:
        """One fence."""
        return f"{self.fences(volume)}{token}"

    def fence_parts(self, key: str) -> tuple[str, int]:
        """Return volume and token of a fence's key."""
        volume, token = key.removeprefix(self.fences()).split("/")
        return volume, int(token)

    @property
    def stale(self) -> str:
        """What all marks of leases that were taken begin with."""
        return f"{self.prefix}/stale/"

    def stale_mark(self, node: str, incarnation: int, volume: str, token: int) -> str:
        """One mark: the node may have the volume mounted still, under a lease taken from it."""
        return f"{self.stale}{quote(node, safe='')}/{incarnation}/{volume}/{token}"

    def stale_parts(self, key: str) -> tuple[str, int, str, int]:
        """Return node, incarnation, volume and token of a mark."""
        node, incarnation, volume, token = key.removeprefix(self.stale).split("/")
        return unquote(node), int(incarnation), volume, int(token)

    def node_name(self, key: str) -> str:
        """Return the node of a session's key."""
        return unquote(key.removeprefix(self.nodes))
