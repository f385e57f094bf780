"""Leases as they stand at one revision of the store, with how long their holders have been silent.

A lease's token is the revision at which its key was written, above the base that was in force then:
nobody can forge it, give it twice, or forget how far it had come.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from volplug.etcd import fences, pages
from volplug.etcd.client import Client
from volplug.etcd.entry import Entry, moment_to_text
from volplug.etcd.keys import Keys
from volplug.etcd.sessions import EXPIRED, SessionRecord
from volplug.etcd.wire import KeyValue, below, get, put, unchanged
from volplug.lease import Lease, LeaseState
from volplug.session import NodeSession, Observer, Presence, Quarantine, Silence, silence_s
from volplug.volume import AccessMode

_OVER = -1  # stands for the revision of an incarnation that a newer one has replaced


@dataclass(frozen=True, slots=True)
class Holder:
    """A node's session as it was read."""

    record: SessionRecord
    revision: int

    @property
    def expired(self) -> bool:
        """Whether another node has ended it, after it was silent for long enough."""
        return self.record.state == EXPIRED


@dataclass(frozen=True, slots=True)
class Held:
    """A lease, the incarnation of its node that holds it, and its key."""

    lease: Lease
    incarnation: int
    silence: Silence
    key: str

    @property
    def silent_since(self) -> datetime:
        """When the holder's session was last seen to change."""
        return self.silence.since


@dataclass(frozen=True, slots=True)
class View:
    """The leases that stand, sorted by volume and token, and the keys of those that are void."""

    held: tuple[Held, ...]
    void: tuple[str, ...]
    holders: dict[str, Holder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VolumeView(View):
    """The leases of one volume, with its entry and what a change of either has to compare."""

    volume_key: str = ""
    volume_revision: int = 0
    entry: Entry = field(default_factory=Entry)
    meta_key: str = ""
    meta: KeyValue | None = None
    marks: tuple[fences.Mark, ...] = ()

    def taken_from(self, node: str) -> list[str]:
        """Return the volumes whose mounts a node has to remove before it gets a new lease."""
        return [mark.volume for mark in self.marks if mark.node == node]

    def same(self) -> list[Any]:
        """Compare: nobody has changed the volume since.

        Keys of volumes that are gone are swept in the end. So that a late copy of a request does
        not take the swept key for one that was never there, it compares the store's epoch as well.
        """
        compares = [unchanged(self.volume_key, self.volume_revision)]
        if not self.volume_revision:
            compares.append(unchanged(self.meta_key, self.meta.modified if self.meta else 0))
        return compares

    def touch(self) -> list[Any]:
        """Write: the volume as it is, so that its revision tells others of the change."""
        return [put(self.volume_key, self.entry.to_json())]


def value(access: AccessMode, since: datetime, token_base: int) -> str:
    """Return what a lease's key holds."""
    return json.dumps({"mode": access, "since": moment_to_text(since), "token_base": token_base})


def read_all(client: Client, keys: Keys, observer: Observer) -> View:
    """Read all leases, as the observer has them."""
    leases, reply = pages.read(
        client,
        "the leases",
        keys.leases(),
        [below(keys.nodes), below(keys.condemnations(), keys_only=True)],
    )
    holders = see(reply.ranges[0], keys, observer)
    held, void = _split(leases, reply.ranges[1], keys, holders, observer)
    return View(held, void, holders)


def read_volume(client: Client, keys: Keys, observer: Observer, volume: str) -> VolumeView:
    """Read the leases of one volume, as the observer has them, and its entry."""
    key = keys.volume(volume)
    reply = client.txn(
        f"the leases of volume {volume!r}",
        then=[
            below(keys.nodes),
            below(keys.leases(volume)),
            below(keys.condemnations(volume), keys_only=True),
            get(key),
            get(keys.meta),
            below(keys.stale, keys_only=True),
        ],
    )
    holders = see(reply.ranges[0], keys, observer)
    held, void = _split(reply.ranges[1], reply.ranges[2], keys, holders, observer)
    found = reply.one(3)
    return VolumeView(
        held,
        void,
        holders,
        volume_key=key,
        volume_revision=found.modified if found else 0,
        entry=Entry.read(found),
        meta_key=keys.meta,
        meta=reply.one(4),
        marks=tuple(fences.marks(reply.ranges[5], keys, _records(holders))),
    )


def see(found: Iterable[KeyValue], keys: Keys, observer: Observer) -> dict[str, Holder]:
    """Read sessions, and note under which revisions they were seen."""
    holders = {}
    for each in found:
        record, node = SessionRecord.from_json(each.value), keys.node_name(each.key)
        holders[node] = Holder(record, each.modified)
        observer.see(node, record.inc, each.modified)
    return holders


def read_nodes(client: Client, keys: Keys, observer: Observer) -> list[NodeSession]:
    """Read all sessions, sorted by node, as the observer has them."""
    reply = client.txn("the nodes", then=[below(keys.nodes), below(keys.stale, keys_only=True)])
    holders = see(reply.ranges[0], keys, observer)
    dirty = {mark.node for mark in fences.marks(reply.ranges[1], keys, _records(holders))}
    return [
        _as_seen(node, holder, observer, dirty=node in dirty)
        for node, holder in sorted(holders.items())
    ]


def _records(holders: dict[str, Holder]) -> dict[str, SessionRecord]:
    return {node: holder.record for node, holder in holders.items()}


def _as_seen(node: str, holder: Holder, observer: Observer, *, dirty: bool) -> NodeSession:
    record = holder.record
    silence = _silence(holder, node, record.inc, observer)
    presence = Presence.SILENT if silence.is_over else Presence.ALIVE
    if holder.expired:
        presence = Presence.DEAD
    return NodeSession(
        node,
        record.inc,
        record.boot_id,
        record.hw_id,
        record.guard_level,
        record.hold_ms,
        presence,
        silence,
        Quarantine.of(presence, dirty=dirty),
    )


def silent(view: View, node: str, observer: Observer) -> bool:
    """Say whether a node has not been heard of for longer than a holder writes."""
    holder = view.holders[node]
    return _silence(holder, node, holder.record.inc, observer).is_over


def _silence(holder: Holder, node: str, incarnation: int, observer: Observer) -> Silence:
    """Return how long an incarnation has not been heard of.

    One that was ended as expired was watched for long enough by whoever ended it.
    """
    if holder.expired and incarnation == holder.record.inc:
        limit_s = silence_s(holder.record.hold_ms)
        return Silence(datetime.fromisoformat(holder.record.silent_since), limit_s, limit_s)
    now = holder.revision if incarnation == holder.record.inc else _OVER
    sighting = observer.see(node, incarnation, now)
    return observer.silence(sighting, holder.record.hold_ms)


def _split(
    leases: Iterable[KeyValue],
    condemnations: Iterable[KeyValue],
    keys: Keys,
    holders: dict[str, Holder],
    observer: Observer,
) -> tuple[tuple[Held, ...], tuple[str, ...]]:
    condemned = {keys.condemnation_parts(each.key) for each in condemnations}
    held, void = [], []
    for each in leases:
        volume, node, incarnation = keys.lease_parts(each.key)
        holder = holders[node]
        if incarnation < holder.record.void_below:
            void.append(each.key)
            continue
        silence = _silence(holder, node, incarnation, observer)
        fields = json.loads(each.value)
        token = each.modified + fields["token_base"]
        if (volume, token) in condemned:
            state = LeaseState.CONDEMNED
        else:
            state = LeaseState.LAPSED if silence.is_over else LeaseState.LIVE
        since = datetime.fromisoformat(fields["since"])
        mode = AccessMode(fields["mode"])
        lease = Lease(volume, node, mode, token, since, state, incarnation)
        held.append(Held(lease, incarnation, silence, each.key))
    held.sort(key=lambda one: (one.lease.volume, one.lease.token))
    return tuple(held), tuple(void)
