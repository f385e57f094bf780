"""Which volumes the guard is told of, and when: those whose holder others wait out in silence."""

import logging
from contextlib import AbstractContextManager, nullcontext, suppress

from volplug.backends import Backends
from volplug.catalog import Record
from volplug.driver import Fencing
from volplug.errors import VolplugError
from volplug.guard import has_to_be_armed
from volplug.lease import Lease, LeaseState
from volplug.node import Node

_log = logging.getLogger(__name__)


def may_guard(backends: Backends) -> bool:
    """Say whether any of the backends has volumes that have to be guarded in a cluster."""
    for name in backends.names():
        with suppress(VolplugError):  # nothing of it can be brought here
            driver = backends.driver(name)
            if not (isinstance(driver, Fencing) or driver.node_local):
                return True
    return False


def guarded(node: Node, record: Record, lease: Lease) -> AbstractContextManager[None]:
    """Return the block in which a volume is brought here; it is armed from its beginning on."""
    return node.guard.armed(lease) if _is_guarded(node, record) else nullcontext()


def begin(node: Node) -> None:
    """Start the guard with what is here from before; what is not ours any more, it stops."""
    if not node.guard.shared_store:
        return
    leases = [lease for lease in node.leases.leases() if lease.node == node.name]
    mine = [
        lease
        for lease in leases
        if lease.state is not LeaseState.CONDEMNED and node.leases.mine(lease.volume) == lease
    ]
    node.guard.begin(mine)
    for lease in mine:
        record = node.catalog.get(lease.volume)
        if record is None or node.host.path(lease.volume) is None:
            continue
        if _is_guarded(node, record) and not node.guard.has_stopped(lease):
            _adopt(node, lease)


def _adopt(node: Node, lease: Lease) -> None:
    try:
        node.guard.adopt(lease)
    except VolplugError as error:
        _log.error("volume=%s is here and is not guarded: %s", lease.volume, error)


def _is_guarded(node: Node, record: Record) -> bool:
    try:
        driver = node.backends.driver(record.backend)
    except VolplugError:
        return False  # nothing of it can be brought here either
    return has_to_be_armed(
        record.access,
        fencing=isinstance(driver, Fencing),
        node_local=driver.node_local,
        shared_store=node.guard.shared_store,
    )
