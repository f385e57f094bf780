"""Fences as they are kept, and the marks of what was taken from a node and may be mounted still.

A fence is stored before the storage is asked and again after it answered, so that whoever comes
next knows what may have been begun (leases.md 2.6).
"""

import sqlite3

from volplug.lease import Fence, FenceState, Lease
from volplug.sqlite import moment


def read(connection: sqlite3.Connection, volume: str | None) -> list[Fence]:
    """Read the fences of one volume, or all, sorted by token."""
    where, values = ("", ()) if volume is None else (" WHERE vol = ?", (volume,))
    sql = "SELECT vol, node_id, token, state, by_node, words, at FROM fence"
    rows = connection.execute(sql + where + " ORDER BY token", values).fetchall()
    return [
        Fence(vol, node, token, FenceState(state), by, words, moment.from_text(at))
        for vol, node, token, state, by, words, at in rows
    ]


def note(
    connection: sqlite3.Connection, fence: Fence, standing: Lease | None, *, lapsed: bool
) -> Fence | None:
    """Store a fence, as `LeaseTable.note_fence` promises; `standing` is its token's lease."""
    known = next((one for one in read(connection, fence.volume) if one.token == fence.token), None)
    if known is not None and known.state is FenceState.DONE:
        return known
    if fence.state is FenceState.REQUIRED and (standing is None or not lapsed):
        return None
    if fence.state is not FenceState.REQUIRED and known is None:
        return None
    connection.execute(
        "INSERT OR REPLACE INTO fence (token, vol, node_id, state, by_node, words, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            fence.token,
            fence.volume,
            fence.node,
            fence.state,
            fence.by,
            fence.words,
            moment.to_text(fence.at),
        ),
    )
    return fence


def stale(connection: sqlite3.Connection, node: str) -> list[tuple[str, int]]:
    """Read volume and token of what was taken from a node, and may be mounted there still."""
    return connection.execute(
        "SELECT vol, token FROM condemnation WHERE node_id = ? AND stale = 1 ORDER BY token",
        (node,),
    ).fetchall()


def report_clean(connection: sqlite3.Connection, node: str, volume: str, token: int) -> None:
    """Take the mark away. Already gone is success."""
    connection.execute(
        "UPDATE condemnation SET stale = 0 WHERE node_id = ? AND vol = ? AND token = ?",
        (node, volume, token),
    )
