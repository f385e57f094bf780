"""How a lease moves away from a node that has gone silent: with the proof that takeover.py wants.

Silence proves nothing, for a machine that was paused writes on when it wakes. So the storage is
told to refuse it, and only when that is confirmed is the lease condemned, with the proof kept
beside it. The order to do so is stored first: a taker that dies in between leaves a trace, and the
next one goes on. Where the driver cannot fence, a guarded node may be waited out, or the lease
waits for an operator's word.

The fence is aimed at every node but this one that the storage lets in: a volume that admits one
holder has no business being reachable from a second. Storage knows nodes and no tokens, so whether
the token still stands is looked up before each blow. What remains is a taker that is paused between
that look and the blow for as long as others need to finish for it: then a node loses its access to
a volume that it has leased anew, until it is mounted there again. That costs an error, which is
logged, and never a second writer.
"""

import logging

from volplug import quarantine, request, takeover
from volplug.backends import AnyDriver
from volplug.catalog import Record
from volplug.driver import Fencing
from volplug.errors import HeldElsewhere, VolplugError
from volplug.event import Event, Outcome
from volplug.lease import Fence, FenceState, Lease, LeaseState, compatible
from volplug.node import Node
from volplug.takeover import Ground, Storage
from volplug.volume import Volume

_log = logging.getLogger(__name__)


def cut_off_silent_holders(node: Node, record: Record, tried: set[int]) -> bool:
    """Condemn the lapsed leases that bar this node, each on its ground; say whether any was.

    What cannot be proven stays as it is. Leases whose tokens were `tried` are passed over, and
    those that a fence was tried on are added. A failure is logged: the refusal that the caller has
    in hand stands.
    """
    condemned = False
    for lease in node.leases.leases(record.name):
        if _bars(lease, node, record) and lease.token not in tried:
            try:
                condemned |= _move(node, record, lease, tried)
            except VolplugError as error:
                _log.warning("volume=%s node=%s not taken: %s", record.name, lease.node, error)
    return condemned


def storage_of(node: Node, record: Record) -> Storage:
    """Return what counts for a takeover of a volume; raise why its driver could not be made."""
    driver = node.backends.driver(record.backend)
    return Storage(
        fencing=isinstance(driver, Fencing),
        node_local=driver.node_local,
        drain_s=driver.drain_s,
        takeover=node.backends.takeover(record.backend),
    )


def _bars(lease: Lease, node: Node, record: Record) -> bool:
    """Say whether a lease is a silent node's and keeps this one out."""
    silent = lease.node != node.name and lease.state is LeaseState.LAPSED
    return silent and not compatible(record.access, lease.access)


def _move(node: Node, record: Record, lease: Lease, tried: set[int]) -> bool:
    storage = storage_of(node, record)
    nodes = node.leases.nodes()
    guarded = takeover.guard_level(lease, nodes)
    match takeover.ground(storage, guarded):
        case Ground.FENCE:
            tried.add(lease.token)
            return _over_a_fence(node, record, lease)
        case Ground.SILENCE:
            [holder] = [one for one in nodes if one.node == lease.node]
            wait_s = takeover.wait_s(storage, holder)
            if holder.silence.lasted_s < wait_s:
                return False
            stopped = f"guard level {guarded} has stopped it: it was silent for {wait_s:g} s"
            return _condemn(node, lease, stopped)
        case Ground.WORD:
            return False


def _over_a_fence(node: Node, record: Record, lease: Lease) -> bool:
    driver = node.backends.driver(record.backend)
    volume = request.volume(record, driver)
    with node.operations.turn(record.backend):
        fence = node.leases.note_fence(lease, FenceState.REQUIRED)
        if fence is None:
            return False
        if fence.state is not FenceState.DONE:
            fence = _carry_out(node, driver, volume, lease)
    assert fence is not None, "a fence that was carried out was required before"
    assert fence.state is FenceState.DONE, "no condemnation without a proof (leases.md I2)"
    return _condemn(node, lease, fence.words)


def _carry_out(node: Node, driver: AnyDriver, volume: Volume[object], lease: Lease) -> Fence | None:
    """Have the storage refuse all others, and store its proof; a failure is stored and raised."""
    journal, name, token = node.journal, lease.volume, lease.token
    journal.note(Event.FENCE, Outcome.BEGUN, volume=name, node=lease.node, token=token)
    try:
        with journal.step(Event.FENCE, volume=name, node=lease.node, token=token):
            proof = _refuse_others(node, driver, volume, lease)
    except VolplugError as error:
        node.leases.note_fence(lease, FenceState.FAILED, str(error))
        raise
    _tell_if_late(node, lease)
    return node.leases.note_fence(lease, FenceState.DONE, proof)


def _refuse_others(node: Node, driver: AnyDriver, volume: Volume[object], lease: Lease) -> str:
    assert isinstance(driver, Fencing), "only a driver that can is asked to fence"
    reachable = [one.node_id for one in driver.attachments(volume)]
    proofs = []
    for node_id in reachable:
        if node_id != driver.node_id():
            _require_standing(node, lease)
            proofs.append(driver.fence(volume, node_id))
    return "; ".join(proofs) or "the storage lets no other node in"


def _require_standing(node: Node, lease: Lease) -> None:
    """Raise HeldElsewhere unless exactly that lease is still there, and its holder still silent."""
    for each in node.leases.leases(lease.volume):
        if each.token == lease.token and each.state is LeaseState.LAPSED:
            return
    raise HeldElsewhere(
        f"the lease of volume '{lease.volume}' that node '{lease.node}' had let lapse does not"
        " stand any more as it did, so nobody is fenced for it"
    )


def _tell_if_late(node: Node, lease: Lease) -> None:
    """Log it if a lease was granted while the storage was being told, for its node is cut off."""
    for each in node.leases.leases(lease.volume):
        if each.token > lease.token and each.node != node.name:
            _log.error(
                "volume=%s node=%s has a new lease, and was cut off for an old one of node %s:"
                " stop its containers there and start them again",
                *(each.volume, each.node, lease.node),
            )


def _condemn(node: Node, lease: Lease, proof: str) -> bool:
    quarantine.condemn(node, lease, by=f"volplug on node {node.name}", reason=proof)
    return True
