"""One row per node: its session, which every lease of the node hangs on.

A row changes by its own instance only, or by a successor of the same node. Each change carries the
store's next revision, and that is what other nodes watch to tell a silent session from a live one.
"""

import sqlite3

from volplug.errors import HostError
from volplug.session import NodeSession, Observer, Presence, Quarantine, Session
from volplug.sqlite.schema import next_rev


def register(connection: sqlite3.Connection, session: Session) -> int:
    """Make this the session of its node, and return the incarnation that it is.

    The same boot goes on with its incarnation and leases. A new boot is a new incarnation; if it is
    proven to be the same hardware, the old one is dead and its leases are gone at once (leases.md
    2.3), else they stay until they are condemned. Raises HostError for another machine.
    """
    row = connection.execute(
        "SELECT inc, boot_id, hw_id, hold_ms FROM node WHERE node_id = ?", (session.node,)
    ).fetchone()
    if row is None:
        return _store(connection, session, incarnation=1, hold_ms=session.hold_ms)
    incarnation, boot_id, hardware_id, hold_ms = row
    if hardware_id and session.hardware_id and hardware_id != session.hardware_id:
        raise HostError(
            f"node {session.node!r} is registered by machine {hardware_id}, and this is machine "
            f"{session.hardware_id}: if its state directory was copied, empty the copy"
        )
    if boot_id == session.boot_id:
        return _store(connection, session, incarnation, session.hold_ms)
    if hardware_id and hardware_id == session.hardware_id:
        connection.execute("DELETE FROM lease WHERE node_id = ?", (session.node,))
        connection.execute("UPDATE condemnation SET stale = 0 WHERE node_id = ?", (session.node,))
        return _store(connection, session, incarnation + 1, session.hold_ms)
    return _store(connection, session, incarnation + 1, max(hold_ms, session.hold_ms))


def renew(connection: sqlite3.Connection, session: Session, incarnation: int) -> int:
    """Change the session's row and return the revision of that change.

    Raises HostError if the row is another instance's by now: then this one must not go on.
    """
    rev = next_rev(connection)
    changed = connection.execute(
        "UPDATE node SET mod_rev = ? WHERE node_id = ? AND inc = ? AND instance = ?",
        (rev, session.node, incarnation, session.instance),
    ).rowcount
    if changed != 1:
        raise HostError(
            f"another volplug process has taken over the session of node {session.node!r}: "
            "end this one, or give one of them another node name"
        )
    return rev


def say_guard_level(connection: sqlite3.Connection, session: Session, guard_level: int) -> None:
    """Store how the node is guarded from now on."""
    connection.execute(
        "UPDATE node SET guard_level = ? WHERE node_id = ?", (guard_level, session.node)
    )


def read(connection: sqlite3.Connection, observer: Observer) -> list[NodeSession]:
    """Read all sessions, sorted by node, as the observer has them."""
    found = []
    for node, inc, boot_id, hw_id, guard_level, hold_ms, rev, dirty in connection.execute(
        "SELECT node_id, inc, boot_id, hw_id, guard_level, hold_ms, mod_rev, EXISTS"
        " (SELECT 1 FROM condemnation WHERE condemnation.node_id = node.node_id AND stale = 1)"
        " FROM node ORDER BY node_id"
    ).fetchall():
        sighting = observer.see(node, inc, rev)
        silence = observer.silence(sighting, hold_ms)
        presence = Presence.SILENT if silence.is_over else Presence.ALIVE
        said = (boot_id, hw_id, guard_level, hold_ms)
        quarantine = Quarantine.of(presence, dirty=bool(dirty))
        found.append(NodeSession(node, inc, *said, presence, silence, quarantine))
    return found


def _store(connection: sqlite3.Connection, session: Session, incarnation: int, hold_ms: int) -> int:
    connection.execute(
        "INSERT OR REPLACE INTO node (node_id, inc, boot_id, hw_id, instance, hold_ms, mod_rev)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            session.node,
            incarnation,
            session.boot_id,
            session.hardware_id,
            session.instance,
            hold_ms,
            next_rev(connection),
        ),
    )
    return incarnation
