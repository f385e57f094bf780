"""What an operator asks of nodes: who there is, that one is off for certain, that one is forgotten.

A person's word replaces a fence and never the wait: a node that was heard of a moment ago is alive,
whatever the person believes, and may be writing (leases.md 2.12).
"""

import logging
from typing import Any

from volplug import quarantine
from volplug.errors import InvalidOptions, VolumeInUse, VolumeNotFound
from volplug.event import Event
from volplug.lease import Lease, LeaseState
from volplug.node import Node
from volplug.session import NodeSession, Presence, Quarantine

_log = logging.getLogger(__name__)


class Membership:
    """The operator's verbs about the nodes of a cluster, on one of them."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def nodes(self) -> list[dict[str, Any]]:
        """Return one row per node, with how it stands and how many leases hang on it."""
        leases = self._node.leases.leases()
        return [
            {
                "node": one.node,
                "presence": one.presence.value,
                "silent_s": round(one.silence.lasted_s, 1),
                "guard_level": one.guard_level,
                "quarantine": one.quarantine.value,
                "leases": sum(lease.node == one.node for lease in leases),
                "incarnation": one.incarnation,
                "boot_id": one.boot_id,
                "hardware_id": one.hardware_id or None,
                "this_node": one.node == self._node.name,
            }
            for one in self._node.leases.nodes()
        ]

    def quarantines(self, leases: list[Lease]) -> dict[str, str]:
        """Return how those holders stand that may have stale mounts."""
        holders = {lease.node for lease in leases}
        return {
            one.node: one.quarantine.value
            for one in self._node.leases.nodes()
            if one.node in holders and one.quarantine is not Quarantine.CLEAN
        }

    def evict(self, name: str, *, by: str, reason: str) -> str:
        """Free all leases of a node that a person attests to be off; say what was done.

        Who, why and when is kept with each lease. Repeating is success. Raises VolumeInUse while
        the node may be alive, and VolumeNotFound if there is no such node.
        """
        if not reason.strip():
            raise InvalidOptions("a reason is wanted, and kept: --reason 'node3 burnt down'")
        session = self._session(name)
        held = [lease for lease in self._node.leases.leases() if lease.node == name]
        standing = [lease for lease in held if lease.state is not LeaseState.CONDEMNED]
        for lease in standing:
            if session.presence is Presence.ALIVE or lease.state is LeaseState.LIVE:
                raise _alive(session)
        if not held and session.presence is Presence.ALIVE:
            raise _alive(session)
        for lease in standing:
            quarantine.condemn(self._node, lease, by=by, reason=reason)
        if not standing:
            return f"node '{name}' holds no lease that bars anybody; nothing was changed"
        self._node.journal.note(Event.EVICT, node=name, by=by, reason=reason)
        volumes = ", ".join(f"'{lease.volume}'" for lease in standing)
        return (
            f"freed {volumes}: each goes to the next Mount elsewhere; node '{name}' gets no new"
            " lease until volplug on it has removed what it had mounted"
        )

    def forget(self, name: str) -> str:
        """Forget a node that is silent and holds nothing; say what was done. Unknown is success."""
        known = [one.node for one in self._node.leases.nodes()]
        if name not in known:
            return f"there is no node '{name}' (known: {', '.join(known)}); nothing was changed"
        self._node.leases.forget(name)
        _log.warning("node=%s forgotten", name)
        return f"node '{name}' is forgotten; should it come back, it registers anew"

    def _session(self, name: str) -> NodeSession:
        known = {one.node: one for one in self._node.leases.nodes()}
        if name not in known:
            raise VolumeNotFound(f"there is no node '{name}' (known: {', '.join(known)})")
        return known[name]


def _alive(session: NodeSession) -> VolumeInUse:
    silence = session.silence
    rest_s = max(0.0, silence.limit_s - silence.lasted_s)
    return VolumeInUse(
        f"node '{session.node}' was heard of {silence.lasted_s:.0f} s ago and may be writing: if it"
        f" is off, repeat this in {rest_s:.0f} s; if it is alive, empty it by stopping its"
        " containers, which gives its leases back"
    )
