"""Collects what a node knows of a volume, for `volplug why` to judge.

What is down is the very thing that is asked about: so each source may fail, and its words become a
fact like the others.
"""

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from volplug import request, takeover
from volplug.backends import AnyDriver
from volplug.catalog import Record, RecordState
from volplug.deadline import deadline
from volplug.driver import Describing
from volplug.errors import VolplugError
from volplug.event import Entry, Event, Outcome
from volplug.facts import Facts, Ways
from volplug.fences import storage_of
from volplug.mounts import Mounts
from volplug.node import Node
from volplug.session import NodeSession, Presence
from volplug.takeover import Ground

T = TypeVar("T")

DESCRIBE_S = 5.0
"""How long a backend may take to tell about a volume before the rest is shown without it."""


def collect(node: Node, mounts: Mounts, name: str) -> Facts:
    """Return what is known of a volume, that exists or not; never raises a VolplugError."""
    troubles: list[str] = []

    def ask(source: Callable[[], T]) -> T | None:
        try:
            return source()
        except VolplugError as error:
            troubles.append(str(error))
            return None

    record = ask(lambda: node.catalog.get(name))
    similar = ask(lambda: _similar(node, name)) if record is None else None
    leases = ask(lambda: node.leases.leases(name))
    silences = ask(lambda: node.leases.silences(name))
    condemnations = ask(lambda: node.leases.condemnations(name))
    nodes = ask(node.leases.nodes)
    stale = ask(node.leases.stale)
    driver, trouble = _driver(node, record)
    facts = Facts(
        volume=name,
        node=node.name,
        record=record,
        similar=tuple(similar or ()),
        driver=node.backends.driver_name(record.backend) or "" if record else "",
        leases=tuple(leases or ()),
        silences=silences or {},
        condemnations=tuple(condemnations or ()),
        users=tuple(mounts.users(name)),
        elsewhere=node.host.users(name),
        operation=node.operations.running(name) or "",
        store_trouble=troubles[0] if troubles else "",
        backend_trouble=trouble or _trouble(record, driver),
        entries=tuple(_of_this_life(node.journal.entries(name))),
        stale=tuple(volume for volume, _ in stale or ()),
        others=tuple(one.node for one in nodes or () if one.node != node.name),
    )
    return replace(facts, takeover=_ways(node, facts, nodes or []))


def described(record: Record, driver: AnyDriver) -> dict[str, str]:
    """Return what the driver tells of the volume, empty if it tells nothing; raise its refusal."""
    if not isinstance(driver, Describing) or record.state is not RecordState.READY:
        return {}
    with deadline(DESCRIBE_S):
        return dict(driver.describe(request.volume(record, driver)))


def _ways(node: Node, facts: Facts, nodes: list[NodeSession]) -> Ways:
    """Return how the lease that bars this node would move, as fences.py would see to it."""
    lease = facts.barring(facts.record.access) if facts.record else None
    if facts.record is None or lease is None:
        return Ways()
    holder = next((one for one in nodes if one.node == lease.node), None)
    gone = holder is None or holder.presence is not Presence.ALIVE
    try:
        storage = storage_of(node, facts.record)
    except VolplugError:  # which is told as the backend's trouble
        return Ways(gone=gone)
    ground = takeover.ground(storage, takeover.guard_level(lease, nodes))
    return Ways(
        ground=ground,
        because=takeover.because(storage),
        wait_s=takeover.wait_s(storage, holder) if holder and ground is Ground.SILENCE else 0.0,
        gone=gone,
    )


def _driver(node: Node, record: Record | None) -> tuple[AnyDriver | None, str]:
    """Return a volume's driver, or why there is none."""
    if record is None:
        return None, ""
    try:
        return node.backends.driver(record.backend), ""
    except VolplugError as error:
        return None, str(error)


def _trouble(record: Record | None, driver: AnyDriver | None) -> str:
    """Return what the backend says against telling about the volume."""
    if record is None or driver is None:
        return ""
    try:
        described(record, driver)
    except VolplugError as error:
        return str(error)
    return ""


def _of_this_life(entries: list[Entry]) -> list[Entry]:
    """Leave out what was noted of an earlier volume of that name."""
    ends = [
        index
        for index, entry in enumerate(entries)
        if entry.event is Event.DELETE and entry.outcome is Outcome.DONE
    ]
    return entries[ends[-1] + 1 :] if ends else entries


def _similar(node: Node, name: str) -> list[str]:
    names = [record.name for record in node.catalog.records()]
    return difflib.get_close_matches(name, names, n=3)
