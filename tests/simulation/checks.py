"""What must hold at every change of the store and at every write to a disk (leases.md 2.13)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from tests.simulation.register import Change
from volplug.etcd.keys import Keys
from volplug.etcd.sessions import EXPIRED, SessionRecord
from volplug.etcd.store import PREFIX
from volplug.lease import Lease, compatible
from volplug.session import HOLD_MS, silence_s
from volplug.volume import AccessMode

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

KEYS = Keys(PREFIX)
_FASTEST = 1.1005
_FREEZE = 0.75


@dataclass(frozen=True)
class Violation:
    """What went wrong when; `rule` is the invariant's number."""

    rule: str
    at_s: float
    words: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.at_s:.4f} s: {self.words}"


@dataclass(frozen=True)
class _Seen:
    record: SessionRecord
    at_s: float


class Checks:
    """The invariants of one schedule, and the violations that were found."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.violations: list[Violation] = []
        self.grants = 0
        self.readmitted = 0
        self._sessions: dict[str, _Seen] = {}
        self._ops: set[str] = set()
        self._tokens: dict[str, int] = {}
        self._committed: dict[int, str] = {}
        self._told: set[int] = set()
        self._granted_s: dict[int, float] = {}

    def violated(self, rule: str, words: str) -> None:
        """Note a violation."""
        violation = Violation(rule, self.world.timeline.now_s, words)
        self.violations.append(violation)
        self.world.note(f"VIOLATION {violation}")

    def overtaken(self, volume: str, token: int, access: AccessMode, newest: int) -> None:
        """Note that a disk accepted a write that a newer token excludes (I1)."""
        self.violated("I1", f"{volume} took a write of {access} under {token} after {newest}")

    def changed(self, changes: list[Change]) -> None:
        """Look at what a transaction has changed."""
        actors: list[str] = []
        for each in changes:
            if each.key.startswith(KEYS.nodes):
                actors += self._session_changed(each)
        for each in changes:
            if each.key.startswith(KEYS.leases()):
                self._lease_changed(each, actors)
            elif each.key.startswith(KEYS.stale) and each.text is None:
                self._reported_clean(each.key)

    def granted(self, machine: "Machine", lease: Lease, age_s: float) -> None:
        """Look at a lease that a process was told is its own."""
        key = self._committed.get(lease.token, "")
        if KEYS.lease_parts(key)[:2] != (lease.volume, machine.name):
            self.violated("I7", f"{machine.name} was told of {lease}, which was not granted")
        if lease.token not in self._told and age_s >= _FREEZE * HOLD_MS / 1000:
            self.violated("I10", f"{machine.name} may use {lease}, which was {age_s:.1f} s late")
        self._told.add(lease.token)

    def based(self, machine: "Machine", base_s: float) -> None:
        """Look at the moment that a guard counts from: others may count from the last commit."""
        seen, now_s = self._sessions.get(machine.name), self.world.timeline.now_s
        if seen is None:
            return
        age_s = machine.clock.boottime_s(now_s) - base_s
        heard_s = (now_s - seen.at_s) * machine.rate
        if age_s < heard_s - 1e-6:
            self.violated(
                "2.8",
                f"{machine.name} counts from {age_s:.4f} s ago, and was heard {heard_s:.4f} s ago",
            )

    def standing_leases(self) -> list[str]:
        """Return the leases that bar others; those of a proven earlier boot bar nobody."""
        leases = self.world.register.below(KEYS.leases())
        volumes = sorted({KEYS.lease_parts(each.key)[0] for each in leases})
        return [
            f"a lease of {node} on {volume}"
            for volume in volumes
            for node, _ in self._standing(volume)
            if self.world.machine(node).up
        ]

    def guarded(self, node: str) -> bool:
        """Say whether others can take a node's leases without anybody's word for it."""
        seen = self._sessions.get(node)
        return self.world.level == 3 or (seen is not None and seen.record.guard_level > 0)

    def quarantined(self) -> list[str]:
        """Return the marks that keep nodes out which run, and could have cleaned up long ago."""
        marks = [KEYS.stale_parts(each.key) for each in self.world.register.below(KEYS.stale)]
        return [
            f"{node} is kept out for {volume} under {token}"
            for node, incarnation, volume, token in marks
            if self.world.machine(node).up and incarnation >= self._sessions[node].record.void_below
        ]

    def fenced(self, volume: str, node: str, aimed: int, listed_s: float) -> None:
        """Look at a fence that is sent to the storage, aimed at the lease of that token (I12).

        Whoever had a newer lease when the taker learned whom the storage admits must be spared. Who
        got it later may be hit: the taker can be stopped for any time before the blow.
        """
        for each in self.world.register.below(KEYS.leases(volume)):
            _, holder, _ = KEYS.lease_parts(each.key)
            newer = [
                token
                for token, key in self._committed.items()
                if key == each.key and token > aimed and self._granted_s[token] < listed_s
            ]
            if holder == node and newer:
                self.violated(
                    "I12", f"{node} has {volume} under {newer}, and is fenced for {aimed}"
                )

    def _reported_clean(self, key: str) -> None:
        node, _, volume, token = KEYS.stale_parts(key)
        mount = self.world.machine(node).mounts.get(volume)
        if mount is not None and mount.token == token:
            self.violated("I14", f"{node} reported {volume} clean, and has {token} mounted")
        self.readmitted += 1

    def _session_changed(self, change: Change) -> Iterable[str]:
        node, text = KEYS.node_name(change.key), change.plain()
        record = SessionRecord.from_json(text)
        before = self._sessions.get(node)
        self._sessions[node] = _Seen(record, self.world.timeline.now_s)
        if record.last_op in self._ops and not record.last_op.startswith("expired"):
            self.violated("I7", f"{record.last_op} was applied twice")
        self._ops.add(record.last_op)
        if before is None:
            return [node]
        if record.state == EXPIRED:
            self._ended(node, before, record)
            return []
        if record.life == before.record.life:
            if before.record.state == EXPIRED or record.seq != before.record.seq + 1:
                self.violated("I9", f"{before.record} became {record}")
        elif record.inc < before.record.inc:
            self.violated("I9", f"{before.record} was followed by {record}")
        return [node]

    def _ended(self, node: str, before: _Seen, record: SessionRecord) -> None:
        silent_s = self.world.timeline.now_s - before.at_s
        if before.record.inc != record.inc or before.record.life != record.life:
            self.violated("I9", f"{node} was ended, and it was {before.record}")
        elif silent_s < silence_s(record.hold_ms) / _FASTEST:
            self.violated("I9", f"{node} was ended after {silent_s:.2f} s of silence")

    def _lease_changed(self, change: Change, actors: list[str]) -> None:
        volume, node, incarnation = KEYS.lease_parts(change.key)
        if change.text is None:
            self._removed(change, volume, node, incarnation, actors)
            return
        token = change.revision + json.loads(change.plain())["token_base"]
        self.grants += 1
        self.world.note(f"{node} is granted {volume} under {token}")
        self._committed[token] = change.key
        self._granted_s[token] = self.world.timeline.now_s
        if token <= self._tokens.get(volume, 0):
            self.violated("I3", f"{volume}: {token} was granted after {self._tokens[volume]}")
        self._tokens[volume] = token
        standing = list(self._standing(volume))
        for (one, mine), (other, theirs) in combinations(standing, 2):
            if one != other and not compatible(mine, theirs):
                self.violated("I4", f"{volume} is held by {one} as {mine} and {other} as {theirs}")

    def _standing(self, volume: str) -> Iterable[tuple[str, AccessMode]]:
        register = self.world.register
        for each in register.below(KEYS.leases(volume)):
            _, node, incarnation = KEYS.lease_parts(each.key)
            fields = json.loads(Change(0, each.key, each.text).plain())
            token = each.modified + fields["token_base"]
            condemned = register.value(KEYS.condemnation(volume, token)) is not None
            if not condemned and incarnation >= self._sessions[node].record.void_below:
                yield node, AccessMode(fields["mode"])

    def _removed(
        self, change: Change, volume: str, node: str, incarnation: int, actors: list[str]
    ) -> None:
        token = max(
            (token for token, key in self._committed.items() if key == change.key), default=0
        )
        self.world.note(f"{volume}: lease {token} of {node} is removed by {actors}")
        if node in actors:
            machine = self.world.machine(node)
            mount = machine.mounts.get(volume)
            if mount is not None and mount.token == token and mount.writable:
                self.violated("I11", f"{node} released {volume} under {token} while mounted")
            return
        condemned = self.world.register.value(KEYS.condemnation(volume, token)) is not None
        if not condemned and incarnation >= self._sessions[node].record.void_below:
            self.violated("I2", f"{actors} removed the lease {token} of {node} on {volume}")
