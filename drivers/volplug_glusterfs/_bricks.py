"""What the bricks themselves say: who is connected to them, and which calls they work on.

A connection is on a brick's list until its last call is over: each call holds on to it, and what
was read of it before its end is carried out (Gluster 10.3: server.c, rpcsvc.c, socket.c).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from volplug.sdk import DeadlineExceeded, Unavailable, wait_until
from volplug_glusterfs._cluster import Cluster

_CALL = re.compile(r"^ PID +: (-?\d+)\n Unique : (\d+)$", re.M)
_COUNT = re.compile(r"^Pending calls: (\d+)$", re.M)
_ROUNDS = 2

Calls = dict[str, frozenset[tuple[str, str]]]
"""Of each brick: the process that makes a call, and the call's number."""


@dataclass(frozen=True)
class Brick:
    """One brick that serves: its process, and who is connected to it, as `ADDRESS:PORT`."""

    process: str
    connections: frozenset[str]


def connected(address: str, bricks: Mapping[str, Brick]) -> bool:
    """Say whether one of the bricks has a connection from that address."""
    everyone = (one for brick in bricks.values() for one in brick.connections)
    return any(one.rpartition(":")[0] == address for one in everyone)


class Bricks:
    """All bricks that a Gluster volume has now."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._names = cluster.bricks()

    def hosts(self) -> set[str]:
        """Return the names of the servers that have a brick."""
        return {name.rpartition(":")[0] for name in self._names}

    def look(self) -> dict[str, Brick]:
        """Return all bricks; raises Unavailable if one of them does not tell.

        That glusterd calls a brick offline does not say that it has ended.
        """
        told: dict[str, Brick] = {}
        for node in self._cluster.connections().iter("node"):
            clients = node.find("clientsStatus")
            if node.findtext("status") == "1" and clients is not None:
                told[f"{node.findtext('hostname')}:{node.findtext('path')}"] = Brick(
                    node.findtext("pid") or "",
                    frozenset(one.text or "" for one in clients.iter("hostname")),
                )
        for name in self._names:
            if name not in told:
                raise Unavailable(
                    f"brick {name} is offline, so nobody knows whether it still serves the node: "
                    f"start it (`gluster volume start {self._cluster.volume} force`), or remove it"
                )
        return {name: told[name] for name in self._names}

    def drain(self) -> None:
        """Return once no call is under way that any client had begun before now.

        A node that is cut off from one directory may still have others, and the bricks tell neither
        which connection nor which call is for what. In two rounds, for a call that is being read in
        is on no list.
        """
        try:
            pending = self._calls()
            for _ in range(_ROUNDS):
                pending = self._end_of(pending)
        except DeadlineExceeded as error:
            raise DeadlineExceeded(
                "ran out of time waiting for the calls that Gluster's bricks were at work on when "
                "the node was cut off, of which one that waits for a lock may take any time; a "
                "retry continues"
            ) from error

    def _end_of(self, pending: Calls) -> Calls:
        """Wait for the end of calls, and return those that were under way when they were over."""
        seen: list[Calls] = []

        def over() -> bool:
            seen.append(self._calls())
            for name in pending:
                pending[name] &= seen[-1][name]
            return not any(pending.values())

        wait_until(over, "calls that the bricks were at work on")
        return seen[-1]

    def _calls(self) -> Calls:
        """Return the calls of each brick; one that is too busy to list them is asked again."""
        told: Calls = {}

        def all_told() -> bool:
            for part in self._cluster.calls().split("\nBrick : ")[1:]:
                name, _, text = part.partition("\n")
                count, calls = _COUNT.search(text), _CALL.findall(text)
                if count and int(count[1]) == len(calls):
                    told.setdefault(name.strip(), frozenset(calls))
            return told.keys() >= set(self._names)

        wait_until(all_told, "the bricks to list their calls", poll_s=0.2)
        return told
