"""The lease table on etcd: every change is one transaction, which also renews the session.

What is decided is decided on one read of the volume, its leases and all sessions, and holds only if
the volume has not changed since. A lease is only ever removed here by its holder, by a new boot of
its holder's hardware, or after it was condemned (leases.md 2.9).
"""

from collections import defaultdict
from dataclasses import replace

from volplug.deadline import Clock, check
from volplug.errors import Unavailable
from volplug.etcd import condemned, fences, held, rules
from volplug.etcd.client import Client
from volplug.etcd.fences import Mark
from volplug.etcd.held import Held, VolumeView
from volplug.etcd.keys import Keys
from volplug.etcd.last_seen import LastSeen
from volplug.etcd.meta import token_base
from volplug.etcd.sequencer import Applied, Sequencer
from volplug.etcd.sessions import register
from volplug.etcd.wire import Words, below, delete, put, unchanged
from volplug.guard import FREEZE_PART
from volplug.lease import (
    Condemnation,
    Fence,
    FenceState,
    Lease,
    LeaseState,
    LeaseTable,
    check_forgettable,
    held_elsewhere,
)
from volplug.session import NodeSession, Observer, Session, Silence, Utc
from volplug.volume import AccessMode


class EtcdLeases(LeaseTable):
    """All leases, as one session sees and changes them."""

    def __init__(
        self, client: Client, keys: Keys, session: Session, *, home: str, clock: Clock, utc: Utc
    ) -> None:
        """Register the session, and begin to watch the others."""
        self._client = client
        self._keys = keys
        self.node = session.node
        self._clock = clock
        self._utc = utc
        self.observer = Observer(clock, utc)
        self._seen: LastSeen[list[Lease]] = LastSeen(_as_remembered)
        base_s = clock.now()
        record, revision = register(client, keys, session, home=home, clock=clock)
        self._sequencer = Sequencer(
            client,
            node=session.node,
            key=keys.node(session.node),
            record=record,
            revision=revision,
            base_s=base_s,
            clock=clock,
        )
        self.leases()

    def acquire(self, volume: str, access: AccessMode) -> Lease:
        """Lease a volume for this node; already leased in that mode gives the same lease again.

        Raises Busy while the volume is being deleted.
        """
        awaited = f"a lease of volume {volume!r}"
        while True:
            check(awaited)
            view = self._view(volume)
            mine = rules.own_or_free(view, volume, access, self._is_mine, self.node)
            if mine is None:
                granted = self._grant(awaited, view, volume, access)
                if granted is not None:
                    return granted
            elif self._sequencer.mutate(awaited, view.same()):
                return mine.lease

    def release(self, lease: Lease) -> None:
        """Give a lease back. One with this token that is gone already is success.

        Raises HeldElsewhere, and changes nothing, if another node holds it.
        """
        awaited = f"the release of volume {lease.volume!r}"
        while True:
            check(awaited)
            view = self._view(lease.volume)
            each = _by_token(view, lease)
            if each is None:
                then: list[Words] = []
            elif self._is_mine(each):
                then = [delete(each.key), *view.touch()]
            else:
                raise held_elsewhere(each.lease, each.silent_since)
            if self._sequencer.mutate(awaited, view.same(), then):
                return

    def leases(self, volume: str | None = None) -> list[Lease]:
        """List the leases of one volume, or all, sorted by volume and token.

        While the store is away, they are listed as they were last seen, and none as lapsed: a
        holder may be heard of again where we cannot hear it.
        """
        if volume is not None:
            return list(self._seen.one(volume, lambda: self._read(volume)) or ())
        by_volume = self._seen.all(self._read_all)
        return [lease for _, leases in sorted(by_volume.items()) for lease in leases]

    def mine(self, volume: str) -> Lease | None:
        """Return the lease that this node holds on a volume; raise HostError."""
        mine = (each.lease for each in self._view(volume).held if self._is_mine(each))
        return next(mine, None)

    def condemn(self, lease: Lease, *, by: str, reason: str) -> None:
        """Declare that the holder of exactly this token can no longer write.

        A lease that is passed in as lapsed is condemned on the silence of its holder: then the
        holder's session must not have changed since, and it ends with it. Raises HeldElsewhere if
        the holder is back.
        """
        awaited = f"the condemnation of a lease of volume {lease.volume!r}"
        while True:
            check(awaited)
            view = self._view(lease.volume)
            each = _by_token(view, lease)
            when: list[Words] = view.same()
            then: list[Words] = []
            if each is not None and each.lease.state is not LeaseState.CONDEMNED:
                if lease.state is LeaseState.LAPSED:
                    ending = rules.end_of_silent(view, each, self._keys, by=self.node)
                    when, then = [*when, *ending.when], [*ending.then]
                at = self._utc()
                kept = Condemnation(lease.volume, each.lease.node, lease.token, by, reason, at)
                holder = each.lease.node, each.incarnation
                mark = self._keys.stale_mark(*holder, lease.volume, lease.token)
                then += [condemned.write(self._keys, kept), put(mark, ""), *view.touch()]
            if self._sequencer.mutate(awaited, when, then):
                return

    def condemnations(self, volume: str | None = None) -> list[Condemnation]:
        """List what was condemned, oldest first."""
        prefix = self._keys.condemnations(volume)
        found = self._client.txn("the condemnations", then=[below(prefix)]).ranges[0]
        in_order = sorted(found, key=lambda each: each.created)
        return [condemned.read(self._keys, each) for each in in_order]

    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        """Store how far the fence of exactly this token has come, and return what stands then."""
        awaited = f"the fence of a lease of volume {lease.volume!r}"
        while True:
            check(awaited)
            view = self._view(lease.volume)
            known = {each.token: each for each in self.fences(lease.volume)}.get(lease.token)
            if known is not None and known.state is FenceState.DONE:
                return known
            each = _by_token(view, lease)
            lapsed = each is not None and each.lease.state is LeaseState.LAPSED
            if not lapsed if state is FenceState.REQUIRED else known is None:
                return None
            names = lease.volume, lease.node, lease.token
            fence = Fence(*names, state, self.node, words, self._utc())
            then = [fences.write(self._keys, fence), *view.touch()]
            if self._sequencer.mutate(awaited, view.same(), then):
                return fence

    def fences(self, volume: str | None = None) -> list[Fence]:
        """List the fences that were ever required, sorted by token."""
        return fences.read_all(self._client, self._keys, volume)

    def stale(self) -> list[tuple[str, int]]:
        """List volume and token of what was taken from this node, and may be mounted here still."""
        return sorted(((mark.volume, mark.token) for mark in self._marks()), key=lambda one: one[1])

    def report_clean(self, volume: str, token: int) -> None:
        """Report that nothing is mounted on this node under that token. Repeating is success."""
        applied: Applied | None = None
        while applied is None:
            gone = [
                delete(one.key)
                for one in self._marks()
                if (one.volume, one.token) == (volume, token)
            ]
            applied = self._sequencer.mutate(f"the report on volume {volume!r}", then=gone)

    def forget(self, node: str) -> None:
        """Forget a node that is gone for good. Already forgotten is success.

        Its key is the one that a late copy of its first registration would make anew: that would be
        one of a process that was not heard of since, and gets nothing by it but a silent session.
        """
        awaited = f"forgetting node {node!r}"
        while True:
            check(awaited)
            view = held.read_all(self._client, self._keys, self.observer)
            holder = view.holders.get(node)
            session = next((one for one in self.nodes() if one.node == node), None)
            if holder is None or session is None:
                return
            check_forgettable(session, (each.lease for each in view.held))
            key = self._keys.node(node)
            void = [one for one in view.void if self._keys.lease_parts(one)[1] == node]
            then = [delete(key), *map(delete, void)]
            if self._sequencer.mutate(awaited, [unchanged(key, holder.revision)], then):
                return

    def _marks(self) -> list[Mark]:
        """Read the marks of what was taken from this node."""
        ask = [below(self._keys.stale, keys_only=True), below(self._keys.nodes)]
        reply = self._client.txn("what was taken from this node", then=ask)
        holders = held.see(reply.ranges[1], self._keys, self.observer)
        records = {name: holder.record for name, holder in holders.items()}
        every = fences.marks(reply.ranges[0], self._keys, records)
        return [mark for mark in every if mark.node == self.node]

    def silences(self, volume: str) -> dict[int, Silence]:
        """Return, by token, how long the holders of a volume's leases have not been heard of."""
        return {each.lease.token: each.silence for each in self._view(volume).held}

    def nodes(self) -> list[NodeSession]:
        """List the sessions of all nodes, sorted by name, as this node has seen them so far."""
        return held.read_nodes(self._client, self._keys, self.observer)

    def renew(self, guard_level: int = 0) -> None:
        """Keep this node's session, and so all its leases, live; and look at the others'."""
        awaited = f"the renewal of node {self.node!r}"
        applied: Applied | None = None
        look = [below(self._keys.nodes)]
        try:
            while applied is None:
                applied = self._sequencer.mutate(awaited, then=look, guard_level=guard_level)
        except Unavailable:
            self.observer.forget()
            raise
        for found in applied.ranges:
            held.see(found, self._keys, self.observer)

    def renewed_s(self) -> float:
        """Return when the last change that was acknowledged was first sent, by our clock."""
        return self._sequencer.base_s

    def is_lowest(self) -> bool:
        """Say whether this node comes first among those that are alive, for what one has to do."""
        view = held.read_all(self._client, self._keys, self.observer)
        alive = [node for node in view.holders if not held.silent(view, node, self.observer)]
        return self.node == min([self.node, *alive])

    def sweep(self) -> None:
        """Remove this node's void leases; they bar nobody, so this is for tidiness only."""
        for key in held.read_all(self._client, self._keys, self.observer).void:
            volume, node, _ = self._keys.lease_parts(key)
            if node == self.node:
                view = self._view(volume)
                then = [*map(delete, view.void), *view.touch()]
                self._sequencer.mutate(f"the sweeping of volume {volume!r}", view.same(), then)

    def _read(self, volume: str) -> list[Lease] | None:
        view = held.read_volume(self._client, self._keys, self.observer, volume)
        return [each.lease for each in view.held] or None

    def _read_all(self) -> dict[str, list[Lease]]:
        leases: dict[str, list[Lease]] = defaultdict(list)
        for each in held.read_all(self._client, self._keys, self.observer).held:
            leases[each.lease.volume].append(each.lease)
        return leases

    def _view(self, volume: str) -> VolumeView:
        view = held.read_volume(self._client, self._keys, self.observer, volume)
        me = view.holders.get(self.node)
        self._sequencer.check(me.record if me else None)
        return view

    def _grant(
        self, awaited: str, view: VolumeView, volume: str, access: AccessMode
    ) -> Lease | None:
        """Take away what does not stand any more, and write the lease; None: look again."""
        key = self._keys.lease(volume, self.node, self._sequencer.incarnation)
        taken = [
            each.key
            for each in view.held
            if each.lease.state is LeaseState.CONDEMNED and each.key != key
        ]
        since, base = self._utc(), token_base(view.meta)
        applied = self._sequencer.mutate(
            awaited,
            [*view.same(), unchanged(self._keys.meta, view.meta.modified if view.meta else 0)],
            [
                *map(delete, (*taken, *view.void)),
                put(key, held.value(access, since, base)),
                *view.touch(),
            ],
        )
        if applied is None:
            return None
        token = base + applied.revision
        assert all(each.lease.token < token for each in view.held), "tokens grow (leases.md I3)"
        if self._clock.now() - applied.base_s >= FREEZE_PART * self._sequencer.hold_ms / 1000:
            raise Unavailable(
                f"{awaited} came too late to be used: the store is slow, or this process was "
                "stopped for a while; try again"
            )
        incarnation = self._sequencer.incarnation
        return Lease(volume, self.node, access, token, since, incarnation=incarnation)

    def _is_mine(self, each: Held) -> bool:
        return (each.lease.node, each.incarnation) == (self.node, self._sequencer.incarnation)


def _as_remembered(leases: list[Lease]) -> list[Lease]:
    """Return the leases without what may not hold any more and somebody might act on."""
    return [
        replace(lease, state=LeaseState.LIVE) if lease.state is LeaseState.LAPSED else lease
        for lease in leases
    ]


def _by_token(view: VolumeView, lease: Lease) -> Held | None:
    return next((each for each in view.held if each.lease.token == lease.token), None)
