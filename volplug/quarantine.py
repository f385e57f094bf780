"""How leases are taken from a node, and how that node becomes clean again: by its own agent.

While it was silent, others may have begun to write to those volumes. Whatever this machine's kernel
still holds back for them must never get there, so they are taken down without being flushed, and
reported one by one. Until then the lease table grants this node nothing new (leases.md 2.12).
"""

import logging

from volplug.errors import VolplugError
from volplug.event import Event
from volplug.lease import Lease
from volplug.node import Node

_log = logging.getLogger(__name__)


def condemn(node: Node, lease: Lease, *, by: str, reason: str) -> None:
    """Declare that the holder of a lease can no longer write, and keep in the journal why.

    Another node is in quarantine from then on. This one is not: its volume is off it already.
    Raises HeldElsewhere if a holder that was silent is back.
    """
    node.leases.condemn(lease, by=by, reason=reason)
    events = [Event.CONDEMN, Event.QUARANTINE]
    if lease.node == node.name:
        node.leases.report_clean(lease.volume, lease.token)
        events.remove(Event.QUARANTINE)
    for event in events:
        node.journal.note(
            event, volume=lease.volume, node=lease.node, token=lease.token, by=by, reason=reason
        )
    _log.warning(
        "lease taken volume=%s node=%s token=%d by=%s reason=%s",
        *(lease.volume, lease.node, lease.token, by, reason),
    )


def taken(node: Node) -> dict[str, list[int]]:
    """Return the tokens that were taken from this node, by volume; none while the store is away.

    Then nobody can be granted what was ours, and what was granted before, the storage or the guard
    keeps us from.
    """
    found: dict[str, list[int]] = {}
    try:
        for volume, token in node.leases.stale():
            found.setdefault(volume, []).append(token)
    except VolplugError as error:
        _log.debug("what was taken from this node is not known: %s", error)
    return found


def clean_up(node: Node, volume: str, tokens: list[int]) -> None:
    """Take a volume down whose leases were taken, without flushing, and report that.

    Repeating is success. Raises VolumeInUse while somebody here has it mounted: what they write
    goes nowhere any more.
    """
    node.host.discard(volume)
    node.guard.disarm(volume)
    for token in tokens:
        node.leases.report_clean(volume, token)
        node.journal.note(Event.READMIT, volume=volume, node=node.name, token=token)
        _log.warning("volume=%s token=%d was taken from this node: cleaned up", volume, token)
