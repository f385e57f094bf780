"""The only way to change anything as a node: one change at a time, each of which is a renewal.

Every change compares and rewrites the session, with the name of the change in it. So of all copies
of a request at most one is ever applied, a delayed copy dies with the next change, and one look
tells whether a request without an answer was applied (leases.md 2.4).
"""

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from volplug.deadline import Clock, remaining
from volplug.errors import DeadlineExceeded, HostError
from volplug.etcd.client import Client
from volplug.etcd.sessions import ALIVE, SessionRecord
from volplug.etcd.wire import KeyValue, Reply, Words, get, put, unchanged


@dataclass(frozen=True, slots=True)
class Applied:
    """A change that was made: its revision, what it read, and when it was first asked for."""

    revision: int
    ranges: tuple[tuple[KeyValue, ...], ...]
    base_s: float


class Sequencer:
    """The changes of one node's session."""

    def __init__(
        self,
        client: Client,
        *,
        node: str,
        key: str,
        record: SessionRecord,
        revision: int,
        base_s: float,
        clock: Clock,
    ) -> None:
        """`base_s` is a moment before `record` was first sent to be stored as `revision`."""
        self.base_s = base_s
        """When the last change that was acknowledged was first sent: so long ago we were heard."""
        self._client = client
        self._node = node
        self._key = key
        self._record = record
        self._revision = revision
        self._clock = clock
        self._numbers = itertools.count(1)
        self._doubts: set[str] = set()
        self._lost = False
        self._turn = threading.Lock()

    @property
    def incarnation(self) -> int:
        """Which incarnation of the node this is."""
        return self._record.inc

    @property
    def hold_ms(self) -> int:
        """How long the node may go on writing after a renewal."""
        return self._record.hold_ms

    def mutate(
        self,
        awaited: str,
        when: Sequence[Words] = (),
        then: Sequence[Words] = (),
        *,
        guard_level: int | None = None,
    ) -> Applied | None:
        """Make a change if what it compares holds, and renew; None if it does not hold any more.

        `when` must compare revisions of keys that are never deleted, or of the very key that is
        deleted: what once failed must fail for ever. Raises HostError if the session is not ours
        any more, and Unavailable if nobody answered: then the change may yet be made, or not, and
        whatever is changed next settles it. The session says `guard_level` from then on, if given.
        """
        limit = remaining()
        if not self._turn.acquire(timeout=-1 if limit == float("inf") else limit):
            raise DeadlineExceeded(f"ran out of time waiting for {awaited}; a retry continues")
        try:
            return self._mutate(awaited, when, then, guard_level)
        finally:
            self._turn.release()

    def check(self, record: SessionRecord | None) -> None:
        """Raise HostError if the session, as it was just read, is not ours."""
        if self._lost or record is None or not self._is_ours(record):
            raise self._lose()

    def _mutate(
        self, awaited: str, when: Sequence[Words], then: Sequence[Words], guard_level: int | None
    ) -> Applied | None:
        if self._lost:
            raise self._lose()
        op = f"{self._record.life}-{next(self._numbers)}"
        level = self._record.guard_level if guard_level is None else guard_level
        wanted = replace(self._record, seq=self._record.seq + 1, last_op=op, guard_level=level)
        self._doubts.add(op)
        base_s = self._clock.now()
        reply = self._client.txn(
            awaited,
            when=[unchanged(self._key, self._revision), *when],
            then=[put(self._key, wanted.to_json()), *then],
            otherwise=[get(self._key)],
        )
        if reply.succeeded:
            self._stand_at(wanted, reply.revision)
            self.base_s = base_s
            return Applied(reply.revision, reply.ranges, base_s)
        return self._settle(op, reply, base_s)

    def _settle(self, op: str, reply: Reply, base_s: float) -> Applied | None:
        """Find out what a failed comparison means: one of our copies, a refusal, or a stranger."""
        found = reply.one(0)
        if found is None:
            raise self._lose()
        record = SessionRecord.from_json(found.value)
        if not self._is_ours(record):
            raise self._lose()
        if record.last_op == op:
            self._stand_at(record, found.modified)
            self.base_s = base_s
            return Applied(found.modified, (), base_s)
        if found.modified == self._revision:
            self._doubts.discard(op)  # another comparison failed, and will for any copy
            return None
        if record.last_op in self._doubts:  # a change that we had given up was made after all
            self._stand_at(record, found.modified)
            return None
        raise self._lose()

    def _stand_at(self, record: SessionRecord, revision: int) -> None:
        assert revision > self._revision, "a session's revision only grows (leases.md I9)"
        self._record, self._revision = record, revision
        self._doubts.clear()  # no other copy of ours compares this revision

    def _is_ours(self, record: SessionRecord) -> bool:
        return record.life == self._record.life and record.state == ALIVE

    def _lose(self) -> HostError:
        self._lost = True
        return HostError(
            f"the session of node {self._node!r} was taken over, by another volplug process of "
            "that name or because this one was silent for too long: it must begin anew"
        )
