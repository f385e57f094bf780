"""Stores that each break one promise; test_store_contracts_bite.py says which, by the test's name.

Not collected by itself. Each class is the fake in memory with one thing done wrong, the way a store
in the making does it wrong.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

import pytest

from volplug.catalog import Catalog, Record, RecordState
from volplug.errors import Busy, HeldElsewhere, HostError
from volplug.lease import Condemnation, Lease, LeaseState, LeaseTable, compatible
from volplug.mount_table import MountRow, MountTable
from volplug.session import Observer, Session, Sighting, Silence
from volplug.testing import (
    CatalogContract,
    FakeClock,
    LeaseContract,
    LeaseStore,
    MemoryCatalog,
    MemoryLeases,
    MemoryMounts,
    MountTableContract,
)
from volplug.volume import AccessMode

# Leases


class Store:
    """Tables of one broken kind, beside each other."""

    def __init__(self, kind: type[MemoryLeases], *, forgets: bool) -> None:
        self._kind = kind
        self._forgets = forgets
        self._first: MemoryLeases | None = None

    def table(self, session: Session, clock: FakeClock) -> LeaseTable:
        """Return a table beside the first."""
        table = self._kind(session, beside=self._first, clock=clock, utc=clock.utc)
        self._first = self._first or table
        return table

    def reopen(self) -> None:
        """Lose everything, if that is what is broken."""
        if self._forgets:
            self._first = None


class _Broken(LeaseContract):
    kind: ClassVar[type[MemoryLeases]] = MemoryLeases
    forgets: ClassVar[bool] = False

    @pytest.fixture
    def store(self) -> LeaseStore:
        """Provide the broken store."""
        return Store(self.kind, forgets=self.forgets)


class TestForgetsAtRestart(_Broken):
    """Nothing was durable."""

    forgets = True


class _HauntedLeases(MemoryLeases):
    def mine(self, volume: str) -> Lease | None:
        return super().mine(volume) or Lease(
            volume, "", AccessMode.SHARED, 0, datetime.fromisoformat("2024-01-01T00:00Z")
        )


class TestHaunted(_Broken):
    """Has a lease of everything."""

    kind = _HauntedLeases


class _WholeSecondLeases(MemoryLeases):
    def leases(self, volume: str | None = None) -> list[Lease]:
        leases = super().leases(volume)
        return [replace(each, since=each.since.replace(microsecond=0)) for each in leases]


class TestWholeSeconds(_Broken):
    """Keeps moments to the second."""

    kind = _WholeSecondLeases


class _CountingLeases(MemoryLeases):
    def _renew(self) -> int:
        super()._renew()
        return len(self._ledger.leases) + 1


class TestCountsLeases(_Broken):
    """Takes its tokens from the number of leases, as one would from a row's number."""

    kind = _CountingLeases


class _RestlessLeases(MemoryLeases):
    def acquire(self, volume: str, access: AccessMode) -> Lease:
        held = self.mine(volume)
        if held and held.access is access and held.state is not LeaseState.CONDEMNED:
            self.release(held)
        return super().acquire(volume, access)


class TestRestless(_Broken):
    """Grants a new lease at every acquire."""

    kind = _RestlessLeases


class _ModelessLeases(MemoryLeases):
    def acquire(self, volume: str, access: AccessMode) -> Lease:
        held = self.mine(volume)
        if held and held.state is not LeaseState.CONDEMNED:
            return held
        return super().acquire(volume, access)


class TestModeless(_Broken):
    """Gives a node what it holds, whatever it asks for."""

    kind = _ModelessLeases


class _GenerousLeases(MemoryLeases):
    def _held(self, volume: str | None) -> list[tuple[Lease, int, Silence]]:
        held = super()._held(volume)
        return held if volume is None else [each for each in held if self._is_mine(*each[:2])]


class TestGenerous(_Broken):
    """Sees its own leases only when it decides."""

    kind = _GenerousLeases


class _JealousLeases(MemoryLeases):
    def acquire(self, volume: str, access: AccessMode) -> Lease:
        for lease in self.leases():
            if lease.node != self._session.node and lease.state is not LeaseState.CONDEMNED:
                raise HeldElsewhere(f"held by {lease.node!r}")
        return super().acquire(volume, access)


class TestJealous(_Broken):
    """Lets nobody in beside it, on whatever volume and in whatever mode, and says little."""

    kind = _JealousLeases


class _HastyLeases(MemoryLeases):
    def acquire(self, volume: str, access: AccessMode) -> Lease:
        for lease in self.leases(volume):
            if lease.state is LeaseState.LAPSED:
                del self._ledger.leases[lease.token]
        return super().acquire(volume, access)


class TestHasty(_Broken):
    """Takes a lapsed lease without any proof."""

    kind = _HastyLeases


class _RacyLeases(MemoryLeases):
    meeting: ClassVar[threading.Barrier]

    def acquire(self, volume: str, access: AccessMode) -> Lease:
        free = all(compatible(access, lease.access) for lease in self.leases(volume))
        if free and threading.current_thread() is not threading.main_thread():
            self.meeting.wait(timeout=30)  # all have looked, and none has written
            with self._ledger.guard:
                token = self._renew()
                lease = Lease(volume, self._session.node, access, token, self._utc())
                self._ledger.leases[token] = lease, self._incarnation
                return lease
        return super().acquire(volume, access)


class TestRacy(_Broken):
    """Looks first and writes later."""

    kind = _RacyLeases

    @pytest.fixture(autouse=True)
    def meeting(self) -> None:
        """Let the sixteen threads of a test meet between look and write."""
        _RacyLeases.meeting = threading.Barrier(16)


class _FreeForAllLeases(MemoryLeases):
    def release(self, lease: Lease) -> None:
        self._renew()
        self._ledger.leases.pop(lease.token, None)


class TestFreeForAll(_Broken):
    """Lets anybody give any lease back."""

    kind = _FreeForAllLeases


class _StrictLeases(MemoryLeases):
    def release(self, lease: Lease) -> None:
        if lease.token not in self._ledger.leases:
            raise KeyError(lease.token)
        super().release(lease)


class TestStrict(_Broken):
    """Does not take "gone already" for success."""

    kind = _StrictLeases


class _ByVolumeLeases(MemoryLeases):
    def release(self, lease: Lease) -> None:
        super().release(self.mine(lease.volume) or lease)


class TestReleasesByVolume(_Broken):
    """Releases what the node holds now, and not the lease that was meant."""

    kind = _ByVolumeLeases


class _StubbornLeases(MemoryLeases):
    def release(self, lease: Lease) -> None:
        if lease.token in self._ledger.condemnations:
            raise HeldElsewhere("condemned")
        super().release(lease)


class TestStubborn(_Broken):
    """Does not let a holder give back what was condemned."""

    kind = _StubbornLeases


class _UnsortedLeases(MemoryLeases):
    def leases(self, volume: str | None = None) -> list[Lease]:
        return sorted(super().leases(volume), key=lambda lease: -lease.token)


class TestUnsorted(_Broken):
    """Lists the newest first."""

    kind = _UnsortedLeases


class _AnybodysLeases(MemoryLeases):
    def mine(self, volume: str) -> Lease | None:
        return next(iter(self.leases(volume)), None)


class TestAnybodys(_Broken):
    """Takes the first lease of a volume for its own."""

    kind = _AnybodysLeases


class _Watch(Observer):
    """An observer that a broken table replaces its own with."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, clock.utc)
        self.clock = clock


class _Impatient(_Watch):
    def silent(self, sighting: Sighting, hold_ms: int) -> bool:
        return self.clock.now() - sighting.first_seen_s >= hold_ms / 1000


class _Patient(_Watch):
    def silent(self, sighting: Sighting, hold_ms: int) -> bool:  # noqa: ARG002  never, that is
        return False


class _SelfCentred(_Watch):
    def silent(self, sighting: Sighting, hold_ms: int) -> bool:  # noqa: ARG002  its very fault
        return super().silent(sighting, 12_000)


class _Deaf(_Watch):
    def see(self, node: str, incarnation: int, revision: int) -> Sighting:  # noqa: ARG002  as said
        return super().see(node, incarnation, 0)


class _Presumptuous(_Watch):
    def see(self, node: str, incarnation: int, revision: int) -> Sighting:
        sighting = super().see(node, incarnation, revision)
        return replace(sighting, first_seen_s=min(sighting.first_seen_s, 0.0))


class _WatchedLeases(MemoryLeases):
    watch: ClassVar[type[_Watch]]

    def _register(self) -> int:
        clock = self._observer._clock
        assert isinstance(clock, FakeClock)
        self._observer = self.watch(clock)
        return super()._register()


class _ImpatientLeases(_WatchedLeases):
    watch = _Impatient


class TestImpatient(_Broken):
    """Waits for the hold time and no more, as if all clocks ran alike."""

    kind = _ImpatientLeases


class _PatientLeases(_WatchedLeases):
    watch = _Patient


class TestPatient(_Broken):
    """Never calls anybody silent."""

    kind = _PatientLeases


class _SelfCentredLeases(_WatchedLeases):
    watch = _SelfCentred


class TestSelfCentred(_Broken):
    """Waits for its own hold time, and not for the holder's."""

    kind = _SelfCentredLeases


class _DeafLeases(_WatchedLeases):
    watch = _Deaf


class TestDeaf(_Broken):
    """Counts from the first look, whatever was renewed since."""

    kind = _DeafLeases


class _PresumptuousLeases(_WatchedLeases):
    watch = _Presumptuous


class TestPresumptuous(_Broken):
    """Believes a moment that it has not seen itself."""

    kind = _PresumptuousLeases


class _UnforgivingLeases(MemoryLeases):
    def acquire(self, volume: str, access: AccessMode) -> Lease:
        for lease in self.leases(volume):
            if lease.state is LeaseState.CONDEMNED and not compatible(access, lease.access):
                raise HeldElsewhere(f"held by {lease.node!r}")
        return super().acquire(volume, access)


class TestUnforgiving(_Broken):
    """Lets a condemned lease bar others for ever."""

    kind = _UnforgivingLeases


class _SentimentalLeases(MemoryLeases):
    def acquire(self, volume: str, access: AccessMode) -> Lease:
        return self.mine(volume) or super().acquire(volume, access)


class TestSentimental(_Broken):
    """Gives a condemned lease back to its holder."""

    kind = _SentimentalLeases


class _SweepingLeases(MemoryLeases):
    def acquire(self, volume: str, access: AccessMode) -> Lease:
        if any(lease.state is LeaseState.CONDEMNED for lease in self.leases(volume)):
            for lease in self.leases(volume):
                del self._ledger.leases[lease.token]
        return super().acquire(volume, access)


class TestSweeping(_Broken):
    """Takes all leases of a volume when one is condemned."""

    kind = _SweepingLeases


class _CalmLeases(MemoryLeases):
    def silences(self, volume: str) -> dict[int, Silence]:
        told = super().silences(volume)
        return {token: replace(silence, lasted_s=0.0) for token, silence in told.items()}


class TestCalm(_Broken):
    """Never tells that a holder is silent."""

    kind = _CalmLeases


class _ByNodeLeases(MemoryLeases):
    def condemn(self, lease: Lease, *, by: str, reason: str) -> None:
        for each in self.leases(lease.volume):
            if each.node == lease.node:
                super().condemn(each, by=by, reason=reason)


class TestCondemnsByNode(_Broken):
    """Condemns what the node holds now, and not the token that was meant."""

    kind = _ByNodeLeases


class _LastWordLeases(MemoryLeases):
    def condemn(self, lease: Lease, *, by: str, reason: str) -> None:
        self._ledger.condemnations.pop(lease.token, None)
        super().condemn(lease, by=by, reason=reason)


class TestLastWord(_Broken):
    """Lets the last word on a lease replace the first."""

    kind = _LastWordLeases


class _PedanticLeases(MemoryLeases):
    def condemn(self, lease: Lease, *, by: str, reason: str) -> None:
        super().condemn(lease, by=by, reason=reason)
        self._ledger.condemnations.setdefault(
            lease.token,
            Condemnation(lease.volume, lease.node, lease.token, by, reason, self._utc()),
        )


class TestPedantic(_Broken):
    """Keeps a condemnation of what nobody held."""

    kind = _PedanticLeases


class _TidyLeases(MemoryLeases):
    def condemnations(self, volume: str | None = None) -> list[Condemnation]:
        standing = {lease.token for lease in self.leases()}
        return [each for each in super().condemnations(volume) if each.token in standing]


class TestTidy(_Broken):
    """Forgets a condemnation along with its lease."""

    kind = _TidyLeases


class _BackwardLeases(MemoryLeases):
    def condemnations(self, volume: str | None = None) -> list[Condemnation]:
        return super().condemnations(volume)[::-1]


class TestBackward(_Broken):
    """Lists the newest condemnation first."""

    kind = _BackwardLeases


class _UnawareLeases(MemoryLeases):
    def _register(self) -> int:
        seat = self._ledger.seats.get(self._session.node)
        if seat:
            self._session = replace(self._session, boot_id=seat.session.boot_id)
        return super()._register()


class TestUnawareOfBoots(_Broken):
    """Takes a reboot for a restart."""

    kind = _UnawareLeases


class _CredulousLeases(MemoryLeases):
    def _register(self) -> int:
        seat = self._ledger.seats.get(self._session.node)
        machine = "the only machine there is"
        if seat:
            seat.session = replace(seat.session, hardware_id=machine)
        self._session = replace(self._session, hardware_id=machine)
        return super()._register()


class TestCredulous(_Broken):
    """Takes every machine for the same."""

    kind = _CredulousLeases


class _TwinLeases(MemoryLeases):
    def _renew(self) -> int:
        self._ledger.seats[self._session.node].session = self._session
        return super()._renew()


class TestTwins(_Broken):
    """Does not mind that another process has its session."""

    kind = _TwinLeases


# Catalogs


class _BrokenCatalog(CatalogContract):
    kind: ClassVar[type[MemoryCatalog]] = MemoryCatalog
    forgets: ClassVar[bool] = False

    @pytest.fixture
    def catalog(self) -> Catalog:
        """Provide the broken catalog."""
        return self.kind()

    @pytest.fixture
    def reopen(self, catalog: Catalog) -> Callable[[], Catalog]:
        """Return the catalog, or a new one if forgetting is what is broken."""
        return lambda: self.kind() if self.forgets else catalog


class TestCatalogForgets(_BrokenCatalog):
    """Nothing was durable."""

    forgets = True


class _CreativeCatalog(MemoryCatalog):
    def get(self, name: str) -> Record | None:
        found = super().get(name)
        if found is None:
            raise HostError("no such row")
        return found


class TestCatalogRaises(_BrokenCatalog):
    """Raises for a name it does not know."""

    kind = _CreativeCatalog


class _LossyCatalog(MemoryCatalog):
    def get(self, name: str) -> Record | None:
        found = super().get(name)
        naive = found and found.created_at.replace(tzinfo=None)
        return replace(found, created_at=naive, origin="") if found and naive else None


class TestCatalogLoses(_BrokenCatalog):
    """Loses a field and a time zone."""

    kind = _LossyCatalog


class _OverwritingCatalog(MemoryCatalog):
    def add(self, record: Record) -> bool:
        self._records[record.name] = record
        return True


class TestCatalogOverwrites(_BrokenCatalog):
    """Adds over what is there, and keeps the caller's own mapping."""

    kind = _OverwritingCatalog


class _CaseBlindCatalog(MemoryCatalog):
    def add(self, record: Record) -> bool:
        taken = {each.name.lower() for each in self.records()}
        return record.name.lower() not in taken and super().add(record)


class TestCatalogCaseBlind(_BrokenCatalog):
    """Compares names as some databases do."""

    kind = _CaseBlindCatalog


class _MergingCatalog(MemoryCatalog):
    def replace(self, record: Record) -> None:
        for name, old in list(self._records.items()):
            self._records[name] = replace(old, handle=record.handle)
        self._records.setdefault(record.name, record)


class TestCatalogMerges(_BrokenCatalog):
    """Replaces by an UPDATE without its WHERE, or else inserts."""

    kind = _MergingCatalog


class _NewestFirstCatalog(MemoryCatalog):
    def records(self) -> list[Record]:
        return list(self._records.values())


class TestCatalogUnsorted(_BrokenCatalog):
    """Lists in the order of adding."""

    kind = _NewestFirstCatalog


class _PossessiveCatalog(MemoryCatalog):
    def claim(self, name: str) -> None:
        record = self.get(name)
        if record is None or record.state is not RecordState.READY:
            raise Busy(f"volume {name!r} is being worked on")


class TestCatalogPossessive(_BrokenCatalog):
    """Takes a node's own work for another's."""

    kind = _PossessiveCatalog


class _StrictCatalog(MemoryCatalog):
    def remove(self, name: str) -> None:
        if self.get(name) is None:
            raise KeyError(name)
        super().remove(name)


class TestCatalogStrict(_BrokenCatalog):
    """Does not take "forgotten already" for success."""

    kind = _StrictCatalog


class _BuryingCatalog(MemoryCatalog):
    def __init__(self) -> None:
        super().__init__()
        self._buried: set[str] = set()

    def add(self, record: Record) -> bool:
        return record.name not in self._buried and super().add(record)

    def remove(self, name: str) -> None:
        self._buried.add(name)
        super().remove(name)


class TestCatalogBuries(_BrokenCatalog):
    """Never gives a name a second time."""

    kind = _BuryingCatalog


# Mount rows


class _BrokenMounts(MountTableContract):
    kind: ClassVar[type[MemoryMounts]] = MemoryMounts
    forgets: ClassVar[bool] = False

    @pytest.fixture
    def mounts(self) -> MountTable:
        """Provide the broken table."""
        return self.kind()

    @pytest.fixture
    def reopen(self, mounts: MountTable) -> Callable[[], MountTable]:
        """Return the table, or a new one if forgetting is what is broken."""
        return lambda: self.kind() if self.forgets else mounts


class TestMountsForget(_BrokenMounts):
    """Nothing was durable."""

    forgets = True


class _EagerMounts(MemoryMounts):
    def epoch(self) -> int:
        return super().epoch() or 1


class TestMountsEager(_BrokenMounts):
    """Begins at epoch 1."""

    kind = _EagerMounts


class _KeepingMounts(MemoryMounts):
    def put(self, row: MountRow) -> None:
        if row not in self.rows():
            self._rows[row.volume, row.mount_id, f"{row.node} {len(self._rows)}"] = row


class TestMountsKeep(_BrokenMounts):
    """Keeps the old row beside the new one."""

    kind = _KeepingMounts


class _ByIdMounts(MemoryMounts):
    def put(self, row: MountRow) -> None:
        self._rows["", row.mount_id, ""] = row

    def remove(self, row: MountRow) -> None:
        self._rows.pop(("", row.mount_id, ""), None)


class TestMountsById(_BrokenMounts):
    """Takes the ID for the whole key: engines use one ID for two volumes."""

    kind = _ByIdMounts


class _ExactMounts(MemoryMounts):
    def remove(self, row: MountRow) -> None:
        if row in self.rows():
            super().remove(row)


class TestMountsExact(_BrokenMounts):
    """Removes a row only if every field is as it was put."""

    kind = _ExactMounts


class _UnsortedMounts(MemoryMounts):
    def rows(self, volume: str | None = None) -> list[MountRow]:  # noqa: ARG002  shows all
        return [row for row in self._rows.values() if row.mount_id]


class TestMountsUnsorted(_BrokenMounts):
    """Lists everything as it came, but for what has no ID."""

    kind = _UnsortedMounts


class _LeapingMounts(MemoryMounts):
    def next_epoch(self) -> int:
        super().next_epoch()
        return super().next_epoch()


class TestMountsLeap(_BrokenMounts):
    """Leaves epochs out."""

    kind = _LeapingMounts
