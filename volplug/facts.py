"""What one node knows of a volume, whoever asks and whatever they make of it.

Collected in one place and judged in another, so that neither a judgement can depend on something
that it did not say it looked at, nor a look be left out because nothing came of it before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from volplug.catalog import Record
from volplug.event import Entry, Event, Outcome
from volplug.lease import Condemnation, Lease, LeaseState, compatible
from volplug.mount_table import MountRow
from volplug.session import RENEW_S, Silence
from volplug.takeover import Ground
from volplug.volume import AccessMode

QUIET_S = 2 * RENEW_S + 1
"""How long a session may look unchanged to one who looks as rarely as it is renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How the lease that bars this node would move once its holder is silent.

    `because` says why it takes a person's word, `wait_s` how long a silence is enough on its own.
    A holder is `gone` if its node was not heard of at all, not even in another life of it.
    """

    ground: Ground = Ground.WORD
    because: str = "its driver cannot be asked"
    wait_s: float = 0.0
    gone: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that one node knows of a volume; `entries` are its journal's, oldest first.

    `stale` are the volumes that were taken from this node and may still be mounted on it; `others`
    are the nodes besides this one that the store knows.
    """

    volume: str
    node: str
    record: Record | None = None
    similar: tuple[str, ...] = ()
    driver: str = ""
    takeover: Ways = field(default_factory=Ways)
    leases: tuple[Lease, ...] = ()
    silences: Mapping[int, Silence] = field(default_factory=dict)
    condemnations: tuple[Condemnation, ...] = ()
    users: tuple[MountRow, ...] = ()
    elsewhere: int = 0
    operation: str = ""
    store_trouble: str = ""
    backend_trouble: str = ""
    entries: tuple[Entry, ...] = ()
    stale: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def mine(self) -> Lease | None:
        """Return the lease that this node holds, one that was taken away included."""
        return next((lease for lease in self.leases if lease.node == self.node), None)

    def barring(self, access: AccessMode) -> Lease | None:
        """Return the first lease that keeps this node out of a volume of that access."""
        for lease in self.leases:
            stands = lease.node != self.node and lease.state is not LeaseState.CONDEMNED
            if stands and not compatible(access, lease.access):
                return lease
        return None

    def not_removed(self) -> list[str]:
        """Return what keeps this node from a new lease, for a Mount here does not remove it."""
        itself = self.volume if self.mine() is not None else ""
        return sorted({volume for volume in self.stale if volume != itself})

    def by_whom(self, lease: Lease) -> str:
        """Tell who took a lease away and why, with a space before it; empty if nobody knows."""
        for one in self.condemnations:
            if one.token == lease.token:
                return f" by {one.by} ({one.reason})"
        return ""

    def use(self) -> str:
        """Tell by whom the volume is used here."""
        if self.users:
            return "mounted as " + ", ".join(row.mount_id[:12] or "(no ID)" for row in self.users)
        if self.elsewhere:
            more = "once more" if self.elsewhere == 1 else f"{self.elsewhere} times more"
            return f"mounted {more} on this machine, though no container has it"
        return "used by nobody"

    def last_failure(self, event: Event) -> Entry | None:
        """Return the last entry of a kind if it tells of a failure."""
        entries = [entry for entry in self.entries if entry.event is event]
        return entries[-1] if entries and entries[-1].outcome is Outcome.FAILED else None

    def last_fence(self, lease: Lease) -> Entry | None:
        """Return the last entry that tells of the fencing of a lease."""
        wanted = (Event.FENCE, lease.token)
        tries = [one for one in self.entries if (one.event, one.token) == wanted]
        return tries[-1] if tries else None
