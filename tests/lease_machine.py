"""Any sequence of leases, crashes, reboots and silences, on a store and on a plain model at once.

After every step all nodes must see exactly the leases and states that the model says; so a lease
that vanished without a reason, a token that came twice, two holders that do not go together, or a
session that somebody else changed would show at the step that did it.
"""

import itertools
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from volplug.errors import HeldElsewhere, HostError, Unavailable
from volplug.lease import Lease, LeaseState, LeaseTable, compatible
from volplug.session import HOLD_MS, Session, Utc, silence_s
from volplug.testing import FakeClock
from volplug.volume import AccessMode

_HARDWARE = {"a": "machine of a", "b": "machine of b", "c": ""}  # nothing is known of c's
NODES = st.sampled_from(sorted(_HARDWARE))
VOLUMES = st.sampled_from(["data", "logs"])
_ACCESS = st.sampled_from(list(AccessMode))
_W = silence_s(HOLD_MS)
_SECONDS = st.sampled_from([1.0, _W / 2, _W - 0.001, _W, 10 * _W])

_steps = itertools.count()


class Store(Protocol):
    """What the machine needs of a store."""

    def leases(self, session: Session, clock: FakeClock, utc: Utc) -> LeaseTable:
        """Register a session and return the leases as it sees them."""
        ...

    def close(self) -> None:
        """Let the store go."""
        ...


@dataclass
class Node:
    """One node as the model has it: its session, and when it last saw the others change."""

    session: Session
    incarnation: int
    table: LeaseTable
    seen_at: dict[tuple[str, int], float] = field(default_factory=dict)
    guard_level: int = 0


@dataclass(frozen=True)
class _Row:
    """A lease as the model has it; whether it is live depends on who looks."""

    lease: Lease
    incarnation: int


class LeaseMachine(RuleBasedStateMachine):
    """Three nodes on one store."""

    tokens = Bundle("tokens")
    ghosts = Bundle("ghosts")

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.clock = FakeClock()
        self.store = self.open()
        self.rows: dict[int, _Row] = {}
        self.epochs: dict[str, int] = {}
        self.condemned: dict[int, str] = {}
        self.stale: dict[int, tuple[str, str]] = {}
        self.nodes: dict[str, Node] = {}
        for name, hardware_id in _HARDWARE.items():
            self._register(Session(name, "boot-0", hardware_id, "instance-0"), 1)

    def open(self) -> Store:
        """Open a new store."""
        raise NotImplementedError

    def reborn(self, number: int) -> Store:
        """Return the store as it is found after the number-th crash, from which nothing is left."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.store.close()

    # What nodes do

    @rule(target=tokens, name=NODES, volume=VOLUMES, access=_ACCESS)
    def acquire(self, name: str, volume: str, access: AccessMode) -> Lease | MultipleResults[Lease]:
        """Acquire; the model says whether it is granted, and whether it is the old lease."""
        node = self.nodes[name]
        standing = [row for row in self._rows(volume) if row.lease.token not in self.condemned]
        mine = [row for row in standing if self._is_of(row, node)]
        barred = any(not compatible(access, row.lease.access) for row in standing)
        if mine and mine[0].lease.access is access:
            assert node.table.acquire(volume, access).token == mine[0].lease.token
            self._changed(node)
            return mine[0].lease
        if barred:
            with pytest.raises(HeldElsewhere, match=f"volume '{volume}' is held by node"):
                node.table.acquire(volume, access)
            self._refused(node, volume)
            return multiple()
        if name in self._dirty():
            with pytest.raises(HeldElsewhere, match=f"node '{name}' gets no new lease"):
                node.table.acquire(volume, access)
            self._refused(node, volume)
            return multiple()
        return self._granted(node, volume, node.table.acquire(volume, access))

    @rule(name=NODES, lease=tokens)
    def release(self, name: str, lease: Lease) -> None:
        """Release a lease, be it old, gone or another node's."""
        node, row = self.nodes[name], self.rows.get(lease.token)
        if row and not self._is_of(row, node):
            with pytest.raises(HeldElsewhere):
                node.table.release(lease)
            self._refused(node, lease.volume)
            return
        node.table.release(lease)
        self.rows.pop(lease.token, None)
        self._changed(node)

    @rule(name=NODES, lease=tokens, reason=st.text(max_size=3))
    def condemn(self, name: str, lease: Lease, reason: str) -> None:
        """Condemn a lease, be it old or gone."""
        node = self.nodes[name]
        node.table.condemn(lease, by=name, reason=reason)
        if lease.token in self.rows:
            self._condemned(self.rows[lease.token].lease, reason)
        self._changed(node)

    @rule(name=NODES, lease=tokens)
    def report_clean(self, name: str, lease: Lease) -> None:
        """Report that nothing is mounted under a token, be it one's own, taken, or neither."""
        self.nodes[name].table.report_clean(lease.volume, lease.token)
        if self.stale.get(lease.token) == (name, lease.volume):
            del self.stale[lease.token]
        self._changed(self.nodes[name])

    @rule(name=NODES)
    def report_all_clean(self, name: str) -> None:
        """Report all that the table lists, as an agent does."""
        node = self.nodes[name]
        for volume, token in node.table.stale():
            node.table.report_clean(volume, token)
            del self.stale[token]
            self._changed(node)
        assert name not in self._dirty()

    @rule(name=NODES, guard_level=st.sampled_from([0, 1, 2]))
    def renew(self, name: str, guard_level: int) -> None:
        """Renew a session, and say how it is guarded."""
        self.nodes[name].table.renew(guard_level)
        self.nodes[name].guard_level = guard_level
        self._changed(self.nodes[name])

    # What happens to them

    @rule(seconds=_SECONDS)
    def wait(self, seconds: float) -> None:
        """Let time pass, in which nobody renews."""
        self.clock.sleep(seconds)

    @rule()
    def crash(self) -> None:
        """Go on from the store as it is at this moment, nothing closed, with the same boots."""
        number = next(self.numbers)
        self.store = self.reborn(number)
        for node in list(self.nodes.values()):
            session = replace(node.session, instance=f"instance-{number}")
            self._register(session, node.incarnation)

    @rule(target=ghosts, name=NODES)
    def restart(self, name: str) -> LeaseTable:
        """Start a second process on a node; the first one's table becomes a ghost."""
        node = self.nodes[name]
        instance = f"instance-{next(self.numbers)}"
        self._register(replace(node.session, instance=instance), node.incarnation)
        return node.table

    @rule(target=ghosts, name=NODES)
    def reboot(self, name: str) -> LeaseTable:
        """Boot a node anew: on known hardware its leases are gone at once."""
        node = self.nodes[name]
        if node.session.hardware_id:
            for row in [row for row in self.rows.values() if row.lease.node == name]:
                del self.rows[row.lease.token]
            self.stale = {token: one for token, one in self.stale.items() if one[0] != name}
        number = next(self.numbers)
        for each in self.nodes.values():
            each.seen_at[name, node.incarnation] = self.clock.now()
        session = replace(node.session, boot_id=f"boot-{number}", instance=f"instance-{number}")
        self._register(session, node.incarnation + 1)
        return node.table

    @rule(ghost=consumes(ghosts), volume=VOLUMES)
    def ghost_acts(self, ghost: LeaseTable, volume: str) -> None:
        """Let a replaced process try to go on: its session is not its own any more (I9)."""
        with pytest.raises((HostError, Unavailable), match=r"taken over|closed"):
            ghost.acquire(volume, AccessMode.SHARED)

    # What holds at every moment

    @invariant()
    def everybody_sees_what_the_model_says(self) -> None:
        """All nodes list the model's leases, in the states that they must see (I2, I9)."""
        next(_steps)
        for node in self.nodes.values():
            expected = [self._as_seen(row, node) for row in self._rows(None)]
            assert node.table.leases() == expected
            for volume in self.volumes_asked():
                mine: list[Lease | None] = [
                    self._as_seen(row, node) for row in self._rows(volume) if self._is_of(row, node)
                ]
                assert [node.table.mine(volume)] == (mine or [None])

    def volumes_asked(self) -> tuple[str, ...]:
        """Return the volumes of which every node is asked for its own lease after each step."""
        return ("data", "logs")

    @invariant()
    def holders_go_together(self) -> None:
        """Leases that stand are pairwise compatible (I4)."""
        leases = [lease for lease in self.nodes["a"].table.leases() if lease.state != "condemned"]
        for one, other in combinations(leases, 2):
            assert one.volume != other.volume or compatible(one.access, other.access)

    @invariant()
    def nodes_are_as_they_said(self) -> None:
        """All nodes are listed, with their lives and what each last said of its guard."""
        if not self.volumes_asked():
            return
        expected = [
            (name, node.incarnation, node.guard_level, name in self._dirty())
            for name, node in sorted(self.nodes.items())
        ]
        found = self.nodes["a"].table.nodes()
        told = [
            (each.node, each.incarnation, each.guard_level, each.quarantine != "clean")
            for each in found
        ]
        assert told == expected
        mine = sorted(token for token, (marked, _) in self.stale.items() if marked == "c")
        assert [token for _, token in self.nodes["c"].table.stale()] == mine

    @invariant()
    def condemnations_are_kept(self) -> None:
        """Every condemnation is there, in order, with its first reason."""
        kept = {each.token: each.reason for each in self.nodes["a"].table.condemnations()}
        assert list(kept.items()) == list(self.condemned.items())

    # The model

    def _register(self, session: Session, incarnation: int) -> None:
        table = self.store.leases(session, self.clock, self.clock.utc)
        node = Node(session, incarnation, table)
        keys = {(row.lease.node, row.incarnation) for row in self.rows.values()}
        node.seen_at = dict.fromkeys(keys, self.clock.now())
        self.nodes[session.node] = node
        self._changed(node)

    def _changed(self, node: Node) -> None:
        for each in self.nodes.values():
            each.seen_at[node.session.node, node.incarnation] = self.clock.now()

    def _granted(self, node: Node, volume: str, lease: Lease) -> Lease:
        expected = Lease(volume, node.session.node, lease.access, lease.token, self.clock.utc())
        assert lease == expected
        assert lease.token > self.epochs.get(volume, 0), "a token must be above all before it (I3)"
        self.epochs[volume] = lease.token
        for row in self._rows(volume):
            if row.lease.token in self.condemned:
                del self.rows[row.lease.token]
        self.rows[lease.token] = _Row(lease, node.incarnation)
        self._changed(node)
        return lease

    def _condemned(self, lease: Lease, reason: str) -> None:
        if lease.token not in self.condemned:
            self.condemned[lease.token] = reason
            self.stale[lease.token] = lease.node, lease.volume

    def _dirty(self) -> set[str]:
        return {node for node, _ in self.stale.values()}

    def _rows(self, volume: str | None) -> list[_Row]:
        rows = [row for row in self.rows.values() if volume in (None, row.lease.volume)]
        return sorted(rows, key=lambda row: (row.lease.volume, row.lease.token))

    def _refused(self, node: Node, volume: str) -> None:
        """Have the node see a renewal of its own that was then undone, if it looked there."""
        if any(self._is_of(row, node) for row in self._rows(volume)):
            node.seen_at[node.session.node, node.incarnation] = self.clock.now()

    def _is_of(self, row: _Row, node: Node) -> bool:
        return (row.lease.node, row.incarnation) == (node.session.node, node.incarnation)

    def _as_seen(self, row: _Row, node: Node) -> Lease:
        silent_s = self.clock.now() - node.seen_at[row.lease.node, row.incarnation]
        if row.lease.token in self.condemned:
            return replace(row.lease, state=LeaseState.CONDEMNED)
        return replace(row.lease, state=LeaseState.LAPSED if silent_s >= _W else LeaseState.LIVE)


def run_machine(machine: type[LeaseMachine], *, examples: int, steps: int) -> int:
    """Run a machine, and return how many steps it took."""
    before = next(_steps)
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=profile)
    return next(_steps) - before - 1
