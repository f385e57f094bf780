"""Fences as they are kept, and the marks of what was taken from a node and may be mounted still.

A fence is stored before the storage is asked and again after it answered, so that whoever comes
next knows what may have been begun (leases.md 2.6). Each change of one also rewrites its volume's
key, and so they come one after the other on all nodes.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from volplug.etcd.client import Client
from volplug.etcd.entry import moment_to_text
from volplug.etcd.keys import Keys
from volplug.etcd.sessions import SessionRecord
from volplug.etcd.wire import KeyValue, Words, below, put
from volplug.lease import Fence, FenceState


@dataclass(frozen=True, slots=True)
class Mark:
    """A lease that was taken, and whose mount its node has not reported as removed."""

    key: str
    node: str
    volume: str
    token: int


def write(keys: Keys, fence: Fence) -> Words:
    """Write a fence."""
    fields = {
        "node": fence.node,
        "state": fence.state,
        "by": fence.by,
        "words": fence.words,
        "at": moment_to_text(fence.at),
    }
    return put(keys.fence(fence.volume, fence.token), json.dumps(fields))


def read(keys: Keys, found: KeyValue) -> Fence:
    """Read what `write` wrote."""
    volume, token = keys.fence_parts(found.key)
    fields = json.loads(found.value)
    at = datetime.fromisoformat(fields["at"])
    state = FenceState(fields["state"])
    return Fence(volume, fields["node"], token, state, fields["by"], fields["words"], at)


def read_all(client: Client, keys: Keys, volume: str | None) -> list[Fence]:
    """Read the fences of one volume, or all, sorted by token."""
    found = client.txn("the fences", then=[below(keys.fences(volume))]).ranges[0]
    return sorted((read(keys, each) for each in found), key=lambda fence: fence.token)


def marks(found: Iterable[KeyValue], keys: Keys, sessions: dict[str, SessionRecord]) -> list[Mark]:
    """Return the marks that count: a life that is proven dead has nothing mounted any more."""
    standing = []
    for each in found:
        node, incarnation, volume, token = keys.stale_parts(each.key)
        session = sessions.get(node)
        if session is None or incarnation >= session.void_below:
            standing.append(Mark(each.key, node, volume, token))
    return standing
