"""Stores that forget everything at exit, for tests of what stands on them.

They are held to the contracts of the real ones.
"""

import threading
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from volplug.catalog import Catalog, Record
from volplug.deadline import Clock
from volplug.errors import HostError, VolumeNotFound
from volplug.lease import (
    Condemnation,
    Fence,
    FenceState,
    Lease,
    LeaseState,
    LeaseTable,
    check_forgettable,
    compatible,
    held_elsewhere,
    quarantined,
)
from volplug.mount_table import MountRow, MountTable
from volplug.session import (
    BoottimeClock,
    NodeSession,
    Observer,
    Presence,
    Quarantine,
    Session,
    Silence,
    Utc,
    utc_now,
)
from volplug.volume import AccessMode


class MemoryCatalog(Catalog):
    """Records in a dict."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._guard = threading.Lock()

    def add(self, record: Record) -> bool:
        """Store a new record; return False, and change nothing, if the name is taken."""
        with self._guard:
            if record.name in self._records:
                return False
            self._records[record.name] = _frozen(record)
            return True

    def replace(self, record: Record) -> None:
        """Overwrite the record of that name; raise VolumeNotFound if there is none."""
        with self._guard:
            if record.name not in self._records:
                raise VolumeNotFound(f"no volume is named {record.name!r}")
            self._records[record.name] = _frozen(record)

    def get(self, name: str) -> Record | None:
        """Return the record of that name."""
        with self._guard:
            return self._records.get(name)

    def records(self) -> list[Record]:
        """Return all records, sorted by name."""
        with self._guard:
            return sorted(self._records.values(), key=lambda record: record.name)

    def claim(self, name: str) -> None:
        """Do nothing: nodes that share this one belong to one test, which knows their order."""

    def remove(self, name: str) -> None:
        """Forget a record. Already forgotten is success."""
        with self._guard:
            self._records.pop(name, None)


class MemoryMounts(MountTable):
    """Mount rows in a dict."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], MountRow] = {}
        self._epoch = 0
        self._guard = threading.Lock()

    def put(self, row: MountRow) -> None:
        """Store a row in place of the one with the same volume, node and mount ID."""
        with self._guard:
            self._rows[row.volume, row.mount_id, row.node] = row

    def remove(self, row: MountRow) -> None:
        """Forget the row with that volume, node and mount ID. Already forgotten is success."""
        with self._guard:
            self._rows.pop((row.volume, row.mount_id, row.node), None)

    def rows(self, volume: str | None = None) -> list[MountRow]:
        """List the rows of one volume, or all, sorted by volume and mount ID."""
        with self._guard:
            rows = [row for _, row in sorted(self._rows.items())]
        return [row for row in rows if volume in (None, row.volume)]

    def epoch(self) -> int:
        """Return the present epoch, 0 on a new table."""
        with self._guard:
            return self._epoch

    def next_epoch(self) -> int:
        """Begin a new epoch and return it."""
        with self._guard:
            self._epoch += 1
            return self._epoch


@dataclass
class _Seat:
    """A node's place in the ledger: who sits there now, and when it last gave a sign."""

    session: Session
    incarnation: int
    revision: int
    hold_ms: int
    guard_level: int = 0


@dataclass
class _Ledger:
    """What the tables of several nodes share."""

    guard: threading.RLock = field(default_factory=threading.RLock)
    revision: int = 0
    seats: dict[str, _Seat] = field(default_factory=dict)
    leases: dict[int, tuple[Lease, int]] = field(default_factory=dict)
    condemnations: dict[int, Condemnation] = field(default_factory=dict)
    fences: dict[int, Fence] = field(default_factory=dict)
    stale: dict[int, tuple[str, str]] = field(default_factory=dict)  # node and volume, by token


class MemoryLeases(LeaseTable):
    """Leases in dicts; `MemoryLeases("b", beside=table)` is another node's view of the same."""

    def __init__(
        self,
        session: Session | str = "node-1",
        *,
        beside: "MemoryLeases | None" = None,
        clock: Clock | None = None,
        utc: Utc = utc_now,
    ) -> None:
        if isinstance(session, str):
            session = Session(session, f"boot of {session}", f"machine of {session}", "instance")
        self._session = session
        self._utc = utc
        self._observer = Observer(clock or BoottimeClock(), utc)
        self._ledger: _Ledger = beside._ledger if beside else _Ledger()  # noqa: SLF001  of this class
        with self._ledger.guard:
            self._incarnation = self._register()
            self.leases()

    def acquire(self, volume: str, access: AccessMode) -> Lease:
        """Lease a volume for this node; already leased in that mode gives the same lease again."""
        with self._ledger.guard:
            token = self._renew()
            held = self._held(volume)
            for lease, incarnation, silence in held:
                if lease.state is LeaseState.CONDEMNED:
                    continue
                if self._is_mine(lease, incarnation) and lease.access is access:
                    return lease
                if not compatible(access, lease.access):
                    raise held_elsewhere(lease, silence.since)
            if taken := self.stale():
                raise quarantined(self._session.node, (name for name, _ in taken))
            for lease, _, _ in held:
                if lease.state is LeaseState.CONDEMNED:
                    del self._ledger.leases[lease.token]
            granted = Lease(
                volume,
                self._session.node,
                access,
                token,
                self._utc(),
                incarnation=self._incarnation,
            )
            self._ledger.leases[token] = granted, self._incarnation
            return granted

    def release(self, lease: Lease) -> None:
        """Give a lease back. One with this token that is gone already is success."""
        with self._ledger.guard:
            self._renew()
            for each, incarnation, silence in self._held(lease.volume):
                if each.token == lease.token:
                    if not self._is_mine(each, incarnation):
                        raise held_elsewhere(each, silence.since)
                    del self._ledger.leases[lease.token]

    def leases(self, volume: str | None = None) -> list[Lease]:
        """List the leases of one volume, or all, sorted by volume and token."""
        return [lease for lease, _, _ in self._held(volume)]

    def mine(self, volume: str) -> Lease | None:
        """Return the lease that this node holds on a volume."""
        for lease, incarnation, _ in self._held(volume):
            if self._is_mine(lease, incarnation):
                return lease
        return None

    def condemn(self, lease: Lease, *, by: str, reason: str) -> None:
        """Declare that the holder of exactly this token can no longer write."""
        with self._ledger.guard:
            self._renew()
            held, _ = self._ledger.leases.get(lease.token, (None, 0))
            if held and held.volume == lease.volume:
                if held.token not in self._ledger.condemnations:
                    self._ledger.stale[held.token] = held.node, held.volume
                self._ledger.condemnations.setdefault(
                    held.token,
                    Condemnation(held.volume, held.node, held.token, by, reason, self._utc()),
                )

    def condemnations(self, volume: str | None = None) -> list[Condemnation]:
        """List what was condemned, oldest first."""
        with self._ledger.guard:
            every = list(self._ledger.condemnations.values())
        return [each for each in every if volume in (None, each.volume)]

    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        """Store how far the fence of exactly this token has come, and return what stands then."""
        with self._ledger.guard:
            self._renew()
            known = self._ledger.fences.get(lease.token)
            if known is None or known.state is not FenceState.DONE:
                standing = self.leases(lease.volume)
                states = [each.state for each in standing if each.token == lease.token]
                if states != [LeaseState.LAPSED] if state is FenceState.REQUIRED else not known:
                    return None
                known = self._ledger.fences[lease.token] = Fence(
                    *(lease.volume, lease.node, lease.token, state),
                    *(self._session.node, words, self._utc()),
                )
            return known

    def fences(self, volume: str | None = None) -> list[Fence]:
        """List the fences that were ever required, sorted by token."""
        with self._ledger.guard:
            every = sorted(self._ledger.fences.items())
        return [fence for _, fence in every if volume in (None, fence.volume)]

    def stale(self) -> list[tuple[str, int]]:
        """List volume and token of what was taken from this node, and may be mounted here still."""
        with self._ledger.guard:
            marks = sorted(self._ledger.stale.items())
        return [(volume, token) for token, (node, volume) in marks if node == self._session.node]

    def report_clean(self, volume: str, token: int) -> None:
        """Report that nothing is mounted on this node under that token. Repeating is success."""
        with self._ledger.guard:
            self._renew()
            if self._ledger.stale.get(token) == (self._session.node, volume):
                del self._ledger.stale[token]

    def forget(self, node: str) -> None:
        """Forget a node that is gone for good. Already forgotten is success."""
        with self._ledger.guard:
            self._renew()
            for each in self.nodes():
                if each.node == node:
                    check_forgettable(each, self.leases())
                    del self._ledger.seats[node]

    def silences(self, volume: str) -> dict[int, Silence]:
        """Return, by token, how long the holders of a volume's leases have not been heard of."""
        return {lease.token: silence for lease, _, silence in self._held(volume)}

    def nodes(self) -> list[NodeSession]:
        """List the sessions of all nodes, sorted by name, as this node has seen them so far."""
        with self._ledger.guard:
            return [self._as_seen(node) for node in sorted(self._ledger.seats)]

    def renew(self, guard_level: int = 0) -> None:
        """Keep this node's session, and so all its leases, live, and say how it is guarded."""
        with self._ledger.guard:
            self._renew()
            self._ledger.seats[self._session.node].guard_level = guard_level

    def _register(self) -> int:
        """Do as the SQLite store's `register` does."""
        ledger, session = self._ledger, self._session
        seat = ledger.seats.get(session.node)
        incarnation, hold_ms = 1, session.hold_ms
        if seat:
            known = bool(seat.session.hardware_id and session.hardware_id)
            same = seat.session.hardware_id == session.hardware_id
            if known and not same:
                raise HostError(f"node {session.node!r} is registered by another machine")
            incarnation = seat.incarnation + (seat.session.boot_id != session.boot_id)
            if incarnation > seat.incarnation and known:
                for token, (lease, _) in list(ledger.leases.items()):
                    if lease.node == session.node:
                        del ledger.leases[token]
                for token, (node, _) in list(ledger.stale.items()):
                    if node == session.node:
                        del ledger.stale[token]
            elif incarnation > seat.incarnation:
                hold_ms = max(hold_ms, seat.hold_ms)
        ledger.revision += 1
        ledger.seats[session.node] = _Seat(session, incarnation, ledger.revision, hold_ms)
        return incarnation

    def _renew(self) -> int:
        seat = self._ledger.seats.get(self._session.node)
        if seat is None or (seat.incarnation, seat.session.instance) != (
            self._incarnation,
            self._session.instance,
        ):
            raise HostError(
                f"another volplug process has taken over the session of {self._session.node!r}"
            )
        self._ledger.revision += 1
        seat.revision = self._ledger.revision
        return seat.revision

    def _held(self, volume: str | None) -> list[tuple[Lease, int, Silence]]:
        with self._ledger.guard:
            every = sorted(
                self._ledger.leases.values(), key=lambda each: (each[0].volume, each[0].token)
            )
            return [self._see(*each) for each in every if volume in (None, each[0].volume)]

    def _as_seen(self, node: str) -> NodeSession:
        seat = self._ledger.seats[node]
        sighting = self._observer.see(node, seat.incarnation, seat.revision)
        silence = self._observer.silence(sighting, seat.hold_ms)
        presence = Presence.SILENT if silence.is_over else Presence.ALIVE
        dirty = any(node == marked for marked, _ in self._ledger.stale.values())
        return NodeSession(
            node,
            seat.incarnation,
            seat.session.boot_id,
            seat.session.hardware_id,
            seat.guard_level,
            seat.hold_ms,
            presence,
            silence,
            Quarantine.of(presence, dirty=dirty),
        )

    def _see(self, lease: Lease, incarnation: int) -> tuple[Lease, int, Silence]:
        seat = self._ledger.seats[lease.node]
        revision = seat.revision if seat.incarnation == incarnation else 0
        sighting = self._observer.see(lease.node, incarnation, revision)
        if lease.token in self._ledger.condemnations:
            lease = replace(lease, state=LeaseState.CONDEMNED)
        elif self._observer.silent(sighting, seat.hold_ms):
            lease = replace(lease, state=LeaseState.LAPSED)
        return lease, incarnation, self._observer.silence(sighting, seat.hold_ms)

    def _is_mine(self, lease: Lease, incarnation: int) -> bool:
        return (lease.node, incarnation) == (self._session.node, self._incarnation)


def _frozen(record: Record) -> Record:
    """Keep a copy of the options, for the caller's mapping may change."""
    return replace(record, options=MappingProxyType(dict(record.options)))
