"""The lease table on SQLite: every verb is one transaction, which also renews the session.

Tokens are taken from the store's revision, and checked against the newest ever granted for the
volume, which outlives leases and volumes. A lease is only ever removed here by its holder, by a new
boot of its holder's hardware, or after it was condemned (leases.md 2.9).
"""

import sqlite3
from functools import partial

from volplug.deadline import Clock
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
from volplug.session import NodeSession, Observer, Session, Silence, Utc
from volplug.sqlite import fences, held, moment, sessions
from volplug.sqlite.database import Database
from volplug.volume import AccessMode

_CONDEMNATIONS = "SELECT vol, node_id, token, by_whom, reason, at FROM condemnation"


class SqliteLeases(LeaseTable):
    """All leases, as one session sees and changes them."""

    def __init__(self, database: Database, session: Session, clock: Clock, utc: Utc) -> None:
        """Register the session, and begin to watch the others."""
        self._database = database
        self._session = session
        self._utc = utc
        self._observer = Observer(clock, utc)
        self._incarnation = database.write(
            f"the session of node {session.node!r}", partial(sessions.register, session=session)
        )
        self.leases()

    def acquire(self, volume: str, access: AccessMode) -> Lease:
        """Lease a volume for this node; already leased in that mode gives the same lease again."""
        return self._database.write(
            f"a lease of volume {volume!r}", partial(self._acquire, volume=volume, access=access)
        )

    def release(self, lease: Lease) -> None:
        """Give a lease back. One with this token that is gone already is success.

        Raises HeldElsewhere, and changes nothing, if another node holds it.
        """
        self._database.write(
            f"the release of volume {lease.volume!r}", partial(self._release, lease=lease)
        )

    def leases(self, volume: str | None = None) -> list[Lease]:
        """List the leases of one volume, or all, sorted by volume and token."""
        return [each.lease for each in self._read(volume)]

    def mine(self, volume: str) -> Lease | None:
        """Return the lease that this node holds on a volume."""
        mine = (each.lease for each in self._read(volume) if self._is_mine(each))
        return next(mine, None)

    def condemn(self, lease: Lease, *, by: str, reason: str) -> None:
        """Declare that the holder of exactly this token can no longer write."""
        self._database.write(
            f"the condemnation of a lease of volume {lease.volume!r}",
            partial(self._condemn, lease=lease, by=by, reason=reason),
        )

    def condemnations(self, volume: str | None = None) -> list[Condemnation]:
        """List what was condemned, oldest first."""
        where, values = ("", ()) if volume is None else (" WHERE vol = ?", (volume,))
        sql = _CONDEMNATIONS + where + " ORDER BY rev"
        rows = self._database.read(lambda connection: connection.execute(sql, values).fetchall())
        return [
            Condemnation(volume, node, token, by, reason, at=moment.from_text(at))
            for volume, node, token, by, reason, at in rows
        ]

    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        """Store how far the fence of exactly this token has come, and return what stands then."""

        def change(connection: sqlite3.Connection) -> Fence | None:
            self._renew(connection)
            found = held.read(connection, self._observer, lease.volume)
            standing = next((each.lease for each in found if each.lease.token == lease.token), None)
            lapsed = standing is not None and standing.state is LeaseState.LAPSED
            by, at = self._session.node, self._utc()
            fence = Fence(lease.volume, lease.node, lease.token, state, by, words, at)
            return fences.note(connection, fence, standing, lapsed=lapsed)

        return self._database.write(f"the fence of a lease of volume {lease.volume!r}", change)

    def fences(self, volume: str | None = None) -> list[Fence]:
        """List the fences that were ever required, sorted by token."""
        return self._database.read(partial(fences.read, volume=volume))

    def stale(self) -> list[tuple[str, int]]:
        """List volume and token of what was taken from this node, and may be mounted here still."""
        return self._database.read(partial(fences.stale, node=self._session.node))

    def report_clean(self, volume: str, token: int) -> None:
        """Report that nothing is mounted on this node under that token. Repeating is success."""

        def change(connection: sqlite3.Connection) -> None:
            self._renew(connection)
            fences.report_clean(connection, self._session.node, volume, token)

        self._database.write(f"the report on volume {volume!r}", change)

    def forget(self, node: str) -> None:
        """Forget a node that is gone for good. Already forgotten is success."""

        def change(connection: sqlite3.Connection) -> None:
            self._renew(connection)
            for each in sessions.read(connection, self._observer):
                if each.node == node:
                    found = held.read(connection, self._observer, None)
                    check_forgettable(each, (one.lease for one in found))
                    connection.execute("DELETE FROM node WHERE node_id = ?", (node,))

        self._database.write(f"forgetting node {node!r}", change)

    def silences(self, volume: str) -> dict[int, Silence]:
        """Return, by token, how long the holders of a volume's leases have not been heard of."""
        return {each.lease.token: each.silence for each in self._read(volume)}

    def nodes(self) -> list[NodeSession]:
        """List the sessions of all nodes, sorted by name, as this node has seen them so far."""
        return self._database.read(partial(sessions.read, observer=self._observer))

    def renew(self, guard_level: int = 0) -> None:
        """Keep this node's session, and so all its leases, live, and say how it is guarded."""

        def change(connection: sqlite3.Connection) -> None:
            self._renew(connection)
            sessions.say_guard_level(connection, self._session, guard_level)

        self._database.write(f"the renewal of node {self._session.node!r}", change)

    def _acquire(self, connection: sqlite3.Connection, volume: str, access: AccessMode) -> Lease:
        token = self._renew(connection)
        for each in held.read(connection, self._observer, volume):
            if each.lease.state is LeaseState.CONDEMNED:
                continue
            if self._is_mine(each) and each.lease.access is access:
                return each.lease
            if not compatible(access, each.lease.access):
                raise held_elsewhere(each.lease, each.silent_since)
        if taken := fences.stale(connection, self._session.node):
            raise quarantined(self._session.node, (name for name, _ in taken))
        connection.execute(
            "DELETE FROM lease WHERE vol = ? AND token IN (SELECT token FROM condemnation)",
            (volume,),
        )
        return self._grant(
            connection,
            Lease(
                volume,
                self._session.node,
                access,
                token,
                self._utc(),
                incarnation=self._incarnation,
            ),
        )

    def _grant(self, connection: sqlite3.Connection, lease: Lease) -> Lease:
        sql = "SELECT epoch FROM volume WHERE vol = ?"
        newest = connection.execute(sql, (lease.volume,)).fetchone()
        assert newest is None or newest[0] < lease.token, (
            f"token {lease.token} of volume {lease.volume!r} is not above {newest}: "
            "the store went back in time"
        )
        connection.execute(
            "INSERT INTO volume (vol, epoch) VALUES (?, ?)"
            " ON CONFLICT (vol) DO UPDATE SET epoch = excluded.epoch",
            (lease.volume, lease.token),
        )
        connection.execute(
            "INSERT INTO lease (vol, node_id, inc, mode, token, since) VALUES (?, ?, ?, ?, ?, ?)",
            (
                lease.volume,
                lease.node,
                self._incarnation,
                lease.access,
                lease.token,
                moment.to_text(lease.since),
            ),
        )
        return lease

    def _release(self, connection: sqlite3.Connection, lease: Lease) -> None:
        self._renew(connection)
        for each in held.read(connection, self._observer, lease.volume):
            if each.lease.token == lease.token and not self._is_mine(each):
                raise held_elsewhere(each.lease, each.silent_since)
        connection.execute(
            "DELETE FROM lease WHERE vol = ? AND token = ?", (lease.volume, lease.token)
        )

    def _condemn(self, connection: sqlite3.Connection, lease: Lease, by: str, reason: str) -> None:
        connection.execute(
            "INSERT OR IGNORE INTO condemnation"
            " (rev, token, vol, node_id, by_whom, reason, at, stale)"
            " SELECT ?, token, vol, node_id, ?, ?, ?, 1 FROM lease WHERE vol = ? AND token = ?",
            (
                self._renew(connection),
                by,
                reason,
                moment.to_text(self._utc()),
                lease.volume,
                lease.token,
            ),
        )

    def _renew(self, connection: sqlite3.Connection) -> int:
        return sessions.renew(connection, self._session, self._incarnation)

    def _read(self, volume: str | None) -> list[held.Held]:
        return self._database.read(partial(held.read, observer=self._observer, volume=volume))

    def _is_mine(self, each: held.Held) -> bool:
        return (each.lease.node, each.incarnation) == (self._session.node, self._incarnation)
