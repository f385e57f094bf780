"""Cutting a node off from a directory, with the bricks' own word for it.

A changed rule reaches the bricks after the command for it has returned. Each then looks through all
its connections, under a lock that its list of them takes too, and ends those that the rules do not
allow. When it has done so is shown by a *witness*: a client of ours on a directory of its own,
which loses its rule in the same change. A brick that has let the witness go has looked.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from volplug.sdk import (
    DeadlineExceeded,
    RemoteTree,
    Tree,
    Unavailable,
    deadline,
    module,
    turn,
    wait_until,
)
from volplug_glusterfs._access import WITNESS_PLACE, Access
from volplug_glusterfs._bricks import Brick, Bricks, connected
from volplug_glusterfs._cluster import Cluster

_JOINING_S = 5.0
"""Whom a brick refuses it lets try again only after 3 s; then a new client is faster."""
_PATIENCE_S = 30.0
"""How long the witness may take to join, and calls to end that were under way."""
_TURN_S = 200.0
"""How long a fence may take in all: less than that after which others end its turn."""
_LIFE_S = 30.0
"""In which nothing but the rules ends an idle connection: keepalive takes 38 s (Gluster 10.3)."""


class Fence:
    """The fence of one Gluster volume."""

    def __init__(
        self,
        cluster: Cluster,
        access: Access,
        tree: Tree,
        servers: Sequence[str],
        address: Callable[[], str],
    ) -> None:
        """Fence by way of a witness that mounts from `servers`, seen there as `address()`."""
        self._cluster, self._access, self._tree = cluster, access, tree
        self._servers, self._address = tuple(servers), address

    def cut(self, path: str, node: str) -> set[str]:
        """Take the directory from a node; return, once nothing of it reaches a brick, who has it.

        Raises Unavailable where that cannot be known. A node without a rule stays a suspect then.
        """
        peers, bricks, own = self._cluster.check_peers(), Bricks(self._cluster), self._address()
        _check_client(node, peers | bricks.hosts())
        # One witness of ours at a time: another's end must not be taken for that of this one.
        with deadline(_TURN_S), turn(self._tree, f"witness.{own}"):
            self._access.allow_witness(own)
            with self._witness(bricks) as witness, deadline(_LIFE_S):
                self._access.suspect(path, node, own)
                wait_until(witness.is_dropped, "Gluster's bricks to end the node's connections")
            if connected(node, witness.seen):
                with deadline(_PATIENCE_S):
                    bricks.drain()
            return self._access.clear(path, node, own)

    @contextmanager
    def _witness(self, bricks: Bricks) -> Iterator["_Witness"]:
        words = (self._cluster.volume, WITNESS_PLACE, *self._servers)
        child = RemoteTree(module("volplug_glusterfs.witness", *words), answer_s=_JOINING_S)
        try:
            yield _Witness(bricks, child)
        finally:
            child.close()


class _Witness:
    """The witness: connected to every brick once it is made."""

    def __init__(self, bricks: Bricks, child: RemoteTree) -> None:
        self._bricks, self._child = bricks, child
        self._process, self._sockets = "", frozenset[str]()
        self._own = frozenset[str]()
        self.seen: dict[str, Brick] = {}
        with deadline(_PATIENCE_S):
            wait_until(self._is_everywhere, "a client of ours to be connected to Gluster's bricks")

    def _is_everywhere(self) -> bool:
        try:
            self._process, self._sockets = self._ask()
        except (DeadlineExceeded, Unavailable):
            return False
        self._own = frozenset(one.partition("/")[0] for one in self._sockets)
        self.seen = self._bricks.look()
        return all(brick.connections & self._own for brick in self.seen.values())

    def is_dropped(self) -> bool:
        """Say whether every brick has ended our connection; raises Unavailable if it may be us."""
        if self._is_still_there():  # cheaper than to ask the bricks, and no proof
            return False
        now = self._bricks.look()
        # Asked after the look: as it lives now, it lived when the bricks let go of it.
        if self._ask()[0] != self._process:
            raise Unavailable("the client that was to be cut off with the node ended by itself")
        for name, brick in now.items():
            if brick.process != self.seen[name].process:
                raise Unavailable(f"brick {name} was started while the node was cut off; retry")
        if any(brick.connections & self._own for brick in now.values()):
            return False
        self.seen = now
        return True

    def _is_still_there(self) -> bool:
        return bool(self._ask()[1] & self._sockets)

    def _ask(self) -> tuple[str, frozenset[str]]:
        process, *connections = self._child.read("connections").split()
        return process, frozenset(connections)


def _check_client(node: str, servers: set[str]) -> None:
    """Raise Unavailable for a server: its own clients log in, and no rule is asked for them.

    They write on (seen with Gluster 10.3).
    """
    for host in servers:
        try:
            found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
        except OSError as error:
            raise Unavailable(f"the Gluster server {host} has no address: {error}") from error
        if node in found:
            raise Unavailable(
                f"{node} is the Gluster server {host}, whose own mounts auth.allow does not end: "
                "power it off, and confirm that with `volplug lease evict`"
            )
