"""What the leases of a volume, as they were read, allow: pure decisions, without a store."""

from collections.abc import Callable
from dataclasses import dataclass

from volplug.catalog import RecordState
from volplug.errors import Busy
from volplug.etcd.held import Held, VolumeView
from volplug.etcd.keys import Keys
from volplug.etcd.wire import Words, put, unchanged
from volplug.lease import LeaseState, compatible, held_elsewhere, quarantined
from volplug.volume import AccessMode


@dataclass(frozen=True, slots=True)
class Ending:
    """What a transaction has to compare and write to end a session."""

    when: tuple[Words, ...] = ()
    then: tuple[Words, ...] = ()


def own_or_free(
    view: VolumeView, volume: str, access: AccessMode, is_mine: Callable[[Held], bool], node: str
) -> Held | None:
    """Return the lease that this node has in that mode, or None if one can be granted.

    Raises HeldElsewhere, or Busy while the volume is being deleted.
    """
    record = view.entry.record
    if record is not None and record.state is RecordState.DELETING:
        raise Busy(f"volume '{volume}' is being deleted and cannot be mounted any more")
    for each in view.held:
        if each.lease.state is LeaseState.CONDEMNED:
            continue
        if is_mine(each) and each.lease.access is access:
            return each
        if not compatible(access, each.lease.access):
            raise held_elsewhere(each.lease, each.silent_since)
    if taken := view.taken_from(node):
        raise quarantined(node, taken)
    return None


def end_of_silent(view: VolumeView, each: Held, keys: Keys, *, by: str) -> Ending:
    """Return how to end the session of a silent holder, which must be silent still when it ends.

    Raises HeldElsewhere if it is heard of again.
    """
    if each.lease.state is not LeaseState.LAPSED:
        raise held_elsewhere(each.lease, each.silent_since)
    holder = view.holders[each.lease.node]
    if each.lease.node == by or each.incarnation != holder.record.inc:
        return Ending()  # a newer incarnation has taken its place: it cannot come back
    key = keys.node(each.lease.node)
    unheard_of = unchanged(key, holder.revision)
    if holder.expired:
        return Ending((unheard_of,))
    expired = holder.record.expired(by=by, silent_since=each.silent_since)
    return Ending((unheard_of,), (put(key, expired.to_json()),))
