"""Lease tables with a fault about nodes or fences; test_node_contracts_bite.py says what fails.

Not collected by itself. Each class is the fake in memory with one thing done wrong.
"""

from dataclasses import replace
from typing import ClassVar

import pytest

from tests.testing.broken_stores import Store
from volplug.errors import HeldElsewhere
from volplug.lease import Fence, FenceState, Lease, LeaseState
from volplug.session import NodeSession, Presence, Quarantine
from volplug.testing import LeaseStore, MemoryLeases
from volplug.testing.lease_fences import FenceContract, ForgetContract, QuarantineContract
from volplug.testing.lease_nodes import NodesContract


class _Broken(NodesContract, FenceContract, QuarantineContract, ForgetContract):
    kind: ClassVar[type[MemoryLeases]] = MemoryLeases

    @pytest.fixture
    def store(self) -> LeaseStore:
        """Provide the broken store."""
        return Store(self.kind, forgets=False)


class _SelfishLeases(MemoryLeases):
    def nodes(self) -> list[NodeSession]:
        return [each for each in super().nodes() if each.node == self._session.node]


class TestSelfish(_Broken):
    """Knows of its own node only."""

    kind = _SelfishLeases


class _TaciturnLeases(MemoryLeases):
    def renew(self, guard_level: int = 0) -> None:  # noqa: ARG002  its very fault
        super().renew()


class TestTaciturn(_Broken):
    """Does not pass on what a node says of its guard."""

    kind = _TaciturnLeases


class _TrustingLeases(MemoryLeases):
    def _register(self) -> int:
        before = self._ledger.seats.get(self._session.node)
        incarnation = super()._register()
        self._ledger.seats[self._session.node].guard_level = before.guard_level if before else 0
        return incarnation


class TestTrusting(_Broken):
    """Goes on believing in a guard whose process has ended."""

    kind = _TrustingLeases


class _CheerfulLeases(MemoryLeases):
    def nodes(self) -> list[NodeSession]:
        return [replace(each, presence=Presence.ALIVE) for each in super().nodes()]


class TestCheerful(_Broken):
    """Calls every node alive."""

    kind = _CheerfulLeases


class _LifelessLeases(MemoryLeases):
    def leases(self, volume: str | None = None) -> list[Lease]:
        return [replace(each, incarnation=1) for each in super().leases(volume)]


class TestLifeless(_Broken):
    """Does not tell in which life of its node a lease was granted."""

    kind = _LifelessLeases


class _HastyFences(MemoryLeases):
    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        fence = super().note_fence(lease, state, words)
        if state is FenceState.REQUIRED and fence is not None:
            del self._ledger.fences[lease.token]
        return fence


class TestHastyFence(_Broken):
    """Does not store a fence before it is done."""

    kind = _HastyFences


class _FickleFences(MemoryLeases):
    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        known = self._ledger.fences.get(lease.token)
        if known is not None:
            known = replace(known, state=state, words=words, by=self._session.node)
            self._ledger.fences[lease.token] = known
            return known
        return super().note_fence(lease, state, words)


class TestFickle(_Broken):
    """Lets the last word on a fence stand."""

    kind = _FickleFences


class _PossessiveFences(MemoryLeases):
    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        known = self._ledger.fences.get(lease.token)
        return (
            known
            if known and known.by != self._session.node
            else super().note_fence(lease, state, words)
        )


class TestPossessive(_Broken):
    """Lets nobody go on with what another taker has begun."""

    kind = _PossessiveFences


class _EagerFences(MemoryLeases):
    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        self._ledger.fences[lease.token] = fence = Fence(
            *(lease.volume, lease.node, lease.token, state),
            *(self._session.node, words, self._utc()),
        )
        return fence


class TestEager(_Broken):
    """Stores any fence of any lease."""

    kind = _EagerFences


class _OpenLeases(MemoryLeases):
    def stale(self) -> list[tuple[str, int]]:
        return []


class TestOpen(_Broken):
    """Lets a node in that may have stale mounts."""

    kind = _OpenLeases


class _CarelessLeases(MemoryLeases):
    def report_clean(self, volume: str, token: int) -> None:  # noqa: ARG002  its very fault
        self._ledger.stale.clear()


class TestCareless(_Broken):
    """Takes one report for all."""

    kind = _CarelessLeases


class _SuspiciousLeases(MemoryLeases):
    def stale(self) -> list[tuple[str, int]]:
        return sorted((volume, token) for token, (_, volume) in self._ledger.stale.items())


class TestSuspicious(_Broken):
    """Keeps everybody out for what was taken from one."""

    kind = _SuspiciousLeases


class _HarshLeases(MemoryLeases):
    def condemn(self, lease: Lease, *, by: str, reason: str) -> None:
        super().condemn(lease, by=by, reason=reason)
        for token, (each, _) in list(self._ledger.leases.items()):
            if each.node == lease.node and token != lease.token:
                del self._ledger.leases[token]


class TestHarsh(_Broken):
    """Takes all leases of a node when one is condemned."""

    kind = _HarshLeases


class _ResentfulLeases(MemoryLeases):
    def _register(self) -> int:
        marks = dict(self._ledger.stale)
        incarnation = super()._register()
        self._ledger.stale.update(marks)
        return incarnation


class TestResentful(_Broken):
    """Has a node that was rebooted look for what cannot be there."""

    kind = _ResentfulLeases


class _LenientLeases(MemoryLeases):
    def _register(self) -> int:
        node = self._session.node
        for token, (marked, _) in list(self._ledger.stale.items()):
            if marked == node:
                del self._ledger.stale[token]
        return super()._register()


class TestLenient(_Broken):
    """Takes a new process for a clean node."""

    kind = _LenientLeases


class _DiscreetLeases(MemoryLeases):
    def nodes(self) -> list[NodeSession]:
        return [replace(each, quarantine=Quarantine.CLEAN) for each in super().nodes()]


class TestDiscreet(_Broken):
    """Does not tell of quarantines."""

    kind = _DiscreetLeases


class _MindfulLeases(MemoryLeases):
    def forget(self, node: str) -> None:
        if node not in self._ledger.seats:
            raise HeldElsewhere(f"no node {node!r}")
        super().forget(node)


class TestMindful(_Broken):
    """Does not take "forgotten already" for success."""

    kind = _MindfulLeases


class _ForgetfulLeases(MemoryLeases):
    def forget(self, node: str) -> None:
        leases = [each for each in self.leases() if each.node == node]
        if not leases or leases[0].state is LeaseState.LAPSED:
            self._ledger.seats.pop(node, None)
            for lease in leases:
                del self._ledger.leases[lease.token]
            self._ledger.stale.clear()


class TestForgetful(_Broken):
    """Forgets whomever it is told to, with all that hangs on it."""

    kind = _ForgetfulLeases
