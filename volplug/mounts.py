"""What a mount ID means: the rules that turn an engine's Mounts and Unmounts into use of a volume.

Engines repeat a Mount with the ID of a living one (`docker cp`), never send the Unmount of a
container that died with its engine, and re-use its ID later. Counting alone, or a set of IDs
alone, gets one of these wrong; so rows are counted, carry the engine's epoch and the kernel's boot
id, and are checked against the kernel's mounts (docker-contract 3.5, rules L1 to L12).
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic

from volplug import refusal
from volplug.crashpoint import crashpoint
from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded, HeldElsewhere
from volplug.event import Event, Outcome
from volplug.ladder import Ladder
from volplug.mount_table import MountRow, MountTable
from volplug.node import Node
from volplug.volume import AccessMode

_log = logging.getLogger(__name__)


def end_use(table: MountTable, name: str, mount_id: str) -> bool:
    """Take one use back in the table and say whether there was one; the node need not run yet."""
    ended = [row for row in table.rows(name) if row.mount_id == mount_id and row.count > 0]
    for row in ended:
        table.put(replace(row, count=row.count - 1))
    return bool(ended)


class Mounts:
    """The mount rows of this node and the rules over them."""

    def __init__(
        self,
        node: Node,
        ladder: Ladder,
        *,
        wait_s: float,
        grace_s: float,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._node = node
        self._table = node.mount_table
        self._ladder = ladder
        self._wait_s = wait_s
        self._grace_s = grace_s
        self._now_s = now_s
        self._guards: dict[str, threading.RLock] = {}
        self._pending: dict[str, Counter[str]] = {}
        self._seen_at: dict[tuple[str, str], float] = {}

    def new_epoch(self) -> None:
        """Note that a new engine instance speaks to us (L2)."""
        self._table.next_epoch()

    def mount(self, name: str, mount_id: str) -> Path:
        """Give the volume to a workload and return its directory; persisted before it returns.

        A `single-container` volume waits a while for its other user to go, then HeldElsewhere.
        """
        with (
            self._node.journal.step(Event.MOUNT, volume=name, mount_id=mount_id),
            self._admitted(name, mount_id),
        ):
            path = self._node.operations.run(name, "mount", lambda: self._ladder.up(name))
            self._count(name, mount_id)
            crashpoint("mount.recorded")
            return path

    def unmount(self, name: str, mount_id: str) -> bool:
        """Take one use back and say whether it was the volume's last; an unknown ID is success."""
        with self._guard(name):
            if end_use(self._table, name, mount_id):
                self._node.journal.note(Event.UNMOUNT, volume=name, mount_id=mount_id)
        crashpoint("unmount.recorded")
        return not self.in_use(name)

    def in_use(self, name: str) -> bool:
        """Say whether a workload has the volume, or is just being given it."""
        with self._guard(name):
            return bool(self._pending.get(name)) or bool(self.users(name))

    def users(self, name: str) -> list[MountRow]:
        """List the rows that keep the volume here."""
        return [row for row in self._table.rows(name) if row.count > 0]

    def drain(self, name: str) -> None:
        """Take the volume off this node if nobody uses it any more; else leave it.

        To be run alone on the volume. Raises VolumeInUse while a process still has it mounted.
        """
        if self.in_use(name):
            return
        self._ladder.down(name)
        for row in self._table.rows(name):
            if row.count == 0:
                self._table.remove(row)
        crashpoint("drain.forgotten")

    def reap(self) -> None:
        """Drop the rows of workloads that are gone without an Unmount (L6).

        Rows of another boot go at once; rows whose volume no process has mounted go once they were
        seen for longer than the grace, for a container's own mount appears some time after the
        answer to its Mount.
        """
        rows = self._table.rows()
        for name in sorted({row.volume for row in rows}):
            with self._guard(name):
                for row in self.users(name):
                    if self._orphaned(row):
                        self._drop(row)
        living = {(row.volume, row.mount_id) for row in rows}
        for key in self._seen_at.keys() - living:
            self._seen_at.pop(key, None)

    def draining(self) -> set[str]:
        """Return the volumes that have rows nobody uses any more."""
        return {row.volume for row in self._table.rows() if row.count == 0}

    def _drop(self, row: MountRow) -> None:
        _log.warning("orphan mount volume=%s id=%s dropped", row.volume, row.mount_id)
        self._table.remove(row)
        self._node.journal.note(
            Event.UNMOUNT, volume=row.volume, mount_id=row.mount_id, reason="its user is gone"
        )

    def _orphaned(self, row: MountRow) -> bool:
        if row.boot_id != self._node.boot_id:
            return True
        seen_at = self._seen_at.setdefault((row.volume, row.mount_id), self._now_s())
        if self._now_s() - seen_at < self._grace_s:
            return False
        return self._node.host.users(row.volume) == 0

    def _guard(self, name: str) -> threading.RLock:
        """Return the lock over the rows of one volume: a slow disk must not queue up the others."""
        return self._guards.setdefault(name, threading.RLock())

    @contextmanager
    def _admitted(self, name: str, mount_id: str) -> Iterator[None]:
        """Count the call as a use while it runs, once the access mode admits it."""
        record = self._node.catalog.get(name)
        alone = record is not None and record.access is AccessMode.SINGLE_CONTAINER
        if not self._admit(name, mount_id, alone=alone):
            self._wait_for_admission(name, mount_id)
        try:
            yield
        finally:
            with self._guard(name):
                self._pending[name] -= Counter([mount_id])

    def _admit(self, name: str, mount_id: str, *, alone: bool) -> bool:
        with self._guard(name):
            if alone and self._others(name, mount_id):
                return False
            self._pending[name] = self._pending.get(name, Counter()) + Counter([mount_id])
            return True

    def _wait_for_admission(self, name: str, mount_id: str) -> None:
        reason = str(self._refusal(name, mount_id))
        self._node.journal.note(
            Event.WAIT, Outcome.BEGUN, volume=name, mount_id=mount_id, reason=reason
        )
        try:
            with deadline(self._wait_s):
                wait_until(
                    lambda: self._admit(name, mount_id, alone=True),
                    f"the single container of volume '{name}'",
                )
        except DeadlineExceeded:
            raise self._refusal(name, mount_id) from None

    def _others(self, name: str, mount_id: str) -> list[str]:
        """List the other IDs that have the volume; those that are provably gone do not count."""
        rows = [row for row in self.users(name) if row.mount_id != mount_id]
        living = [row.mount_id for row in rows if not self._orphaned(row)]
        return living + [other for other in self._pending.get(name, ()) if other != mount_id]

    def _refusal(self, name: str, mount_id: str) -> HeldElsewhere:
        others = [row for row in self.users(name) if row.mount_id != mount_id]
        return refusal.single_container(name, self._node.name, others)

    def _count(self, name: str, mount_id: str) -> None:
        """Store one more use of the ID (L3)."""
        with self._guard(name):
            known = [row for row in self._table.rows(name) if row.mount_id == mount_id]
            epoch = self._table.epoch()
            self._table.put(
                MountRow(
                    volume=name,
                    node=self._node.name,
                    mount_id=mount_id,
                    count=self._next_count(known[0], epoch) if known else 1,
                    epoch=epoch,
                    boot_id=self._node.boot_id,
                    mounted_at=self._node.now(),
                )
            )
            self._seen_at[name, mount_id] = self._now_s()

    def _next_count(self, row: MountRow, epoch: int) -> int:
        if row.boot_id != self._node.boot_id or not row.mount_id:
            return 1  # dvdcli sends no ID, N Mounts and one Unmount (orchestrators 6)
        if row.epoch == epoch:
            return row.count + 1
        return max(row.count, 1) + 1 if self._node.host.users(row.volume) else 1
