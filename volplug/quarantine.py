"""How a node from which leases were taken becomes clean again: by what its own agent does.

While it was silent, others may have begun to write to those volumes. Whatever this machine's kernel
still holds back for them must never get there, so they are taken down without being flushed, and
reported one by one. Until then the lease table grants this node nothing new (leases.md 2.12).
"""

import logging

from volplug.errors import VolplugError
from volplug.event import Event
from volplug.node import Node

_log = logging.getLogger(__name__)


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
