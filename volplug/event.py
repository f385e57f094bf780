"""The words that a journal is written in: what can happen, how far it came, and one such entry.

The words are a closed list, so that who searches a year of journals knows what to look for.
"""

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum


class Event(StrEnum):
    """All that can stand in the journal."""

    CREATE = "create"
    DELETE = "delete"
    EXPAND = "expand"
    WAIT = "wait"  # for a lease that another node holds
    GRANT = "grant"  # of a lease, to this node
    REFUSE = "refuse"
    RELEASE = "release"
    ATTACH = "attach"
    DETACH = "detach"
    STAGE = "stage"
    UNSTAGE = "unstage"
    MOUNT = "mount"
    UNMOUNT = "unmount"
    FENCE = "fence"  # begun: it is required
    CONDEMN = "condemn"  # of a lease: the storage's proof, or an operator's word
    EVICT = "evict"  # of a node, on an operator's word
    TAKEN = "taken"  # a lease of this node's, while the volume was used here
    STOP = "stop"  # of a volume by the guard, for this node could not renew in time
    SESSION_LOST = "session-lost"
    QUARANTINE = "quarantine"  # of a node that was fenced
    READMIT = "readmit"  # of a node that is clean again


class Outcome(StrEnum):
    """How far an event came."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


DURABLE = frozenset(
    {
        Event.GRANT,
        Event.RELEASE,
        Event.FENCE,
        Event.CONDEMN,
        Event.EVICT,
        Event.TAKEN,
        Event.SESSION_LOST,
        Event.QUARANTINE,
        Event.READMIT,
    }
)
"""What gives, takes away or attests: on the disk before anybody goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event. `node` is whom it concerns, `by` whose deed it was, `boot` the kernel's life."""

    at: datetime
    event: Event
    boot: str = ""
    outcome: Outcome = Outcome.DONE
    volume: str = ""
    node: str = ""
    token: int = 0
    mount_id: str = ""
    by: str = ""
    reason: str = ""

    def to_json(self) -> str:
        """Write it on one line; what is empty is left out."""
        found = {key: value for key, value in asdict(self).items() if value}
        found["at"] = self.at.astimezone(UTC).isoformat(timespec="milliseconds")
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Entry":
        """Read what `to_json` wrote, by whatever version; raise ValueError if it is no entry."""
        try:
            found = json.loads(text)
            known = {one.name: found[one.name] for one in fields(cls) if one.name in found}
            known["at"] = datetime.fromisoformat(known["at"])
            known["event"] = Event(known["event"])
            known["outcome"] = Outcome(known.get("outcome", Outcome.DONE))
            return cls(**known)
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"no entry of a journal: {text[:40]!r}") from error
