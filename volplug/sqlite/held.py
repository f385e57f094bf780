"""Leases as they stand: what the rows say, with how long their holders have been silent."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from volplug.lease import Lease, LeaseState
from volplug.session import Observer, Silence
from volplug.sqlite import moment
from volplug.volume import AccessMode

_SELECT = (
    "SELECT lease.vol, lease.node_id, lease.mode, lease.token, lease.since, lease.inc,"
    " node.inc, node.mod_rev, node.hold_ms,"
    " EXISTS (SELECT 1 FROM condemnation WHERE condemnation.token = lease.token)"
    " FROM lease JOIN node USING (node_id)"
)
_SORTED = " ORDER BY lease.vol, lease.token"

_OVER = -1  # stands for the revision of an incarnation that a newer one has replaced


@dataclass(frozen=True, slots=True)
class Held:
    """A lease, with the incarnation of its node that holds it."""

    lease: Lease
    incarnation: int
    silence: Silence

    @property
    def silent_since(self) -> datetime:
        """When the holder's session was last seen to change."""
        return self.silence.since


def read(connection: sqlite3.Connection, observer: Observer, volume: str | None) -> list[Held]:
    """Read the leases of one volume, or all, sorted by volume and token, as the observer has it."""
    where, values = ("", ()) if volume is None else (" WHERE lease.vol = ?", (volume,))
    rows = connection.execute(_SELECT + where + _SORTED, values).fetchall()
    return [_held(row, observer) for row in rows]


def _held(row: tuple[Any, ...], observer: Observer) -> Held:
    volume, node, mode, token, since, incarnation, newest, rev, hold_ms, condemned = row
    sighting = observer.see(node, incarnation, rev if incarnation == newest else _OVER)
    if condemned:
        state = LeaseState.CONDEMNED
    elif observer.silent(sighting, hold_ms):
        state = LeaseState.LAPSED
    else:
        state = LeaseState.LIVE
    lease = Lease(
        volume, node, AccessMode(mode), token, moment.from_text(since), state, incarnation
    )
    return Held(lease, incarnation, observer.silence(sighting, hold_ms))
