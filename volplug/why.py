"""What `volplug why` tells of a volume: who holds it, who waits, what was tried, what to do now."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from volplug.event import Entry, Event, Outcome
from volplug.facts import QUIET_S, Facts
from volplug.lease import Lease, in_utc
from volplug.verdict import Verdict, judge

_TRIED = 12
_TRIALS = (Event.FENCE, Event.CONDEMN, Event.EVICT, Event.QUARANTINE, Event.READMIT, Event.TAKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One lease, as it is told; `silent_s` is how long its node has not been heard of."""

    node: str
    access: str
    token: int
    since: datetime
    state: str
    silent_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What `volplug why` says. A Mount on this node is refused with the verdict's sentence."""

    volume: str
    verdict: Verdict
    holders: tuple[Holder, ...]
    used_by: tuple[str, ...]
    waiting: tuple[str, ...]
    not_shown: str
    tried: tuple[str, ...]
    backend_trouble: str


def answer(facts: Facts) -> Answer:
    """Judge the facts; the same facts give the same answer."""
    return Answer(
        volume=facts.volume,
        verdict=judge(facts),
        holders=tuple(_holder(facts, lease) for lease in facts.leases),
        used_by=tuple(row.mount_id for row in facts.users),
        waiting=tuple(_waiting(facts)),
        not_shown=_not_shown(facts),
        tried=tuple(_tried(facts)),
        backend_trouble=facts.backend_trouble,
    )


def _waiting(facts: Facts) -> Iterator[str]:
    """Tell who waits for the lease: only this node's own Mounts are known to it."""
    waits = [
        entry for entry in facts.entries if entry.event in (Event.WAIT, Event.GRANT, Event.REFUSE)
    ]
    if facts.operation.startswith("mount") and waits and waits[-1].event is Event.WAIT:
        yield f"a Mount on node '{facts.node}' since {in_utc(waits[-1].at)}"


def _not_shown(facts: Facts) -> str:
    """Say that others may wait too, whose Mounts are in no store: each node knows its own."""
    if not facts.leases or not facts.others:
        return ""
    return "Mounts that wait on other nodes are not shown here: ask there"


def _tried(facts: Facts) -> list[str]:
    """Tell what was done to get at the volume, oldest first: by this node, and by operators."""
    told = [
        (entry.at, _told(entry))
        for entry in facts.entries
        if entry.event in _TRIALS or entry.outcome is Outcome.FAILED
    ]
    known = {entry.token for entry in facts.entries if entry.event is Event.CONDEMN}
    told += [
        (one.at, f"lease {one.token} taken from node '{one.node}' by {one.by}: {one.reason}")
        for one in facts.condemnations
        if one.token not in known
    ]
    return [f"{in_utc(at)} {words}" for at, words in sorted(told)[-_TRIED:]]


def _told(entry: Entry) -> str:
    """Put an entry in one line of words."""
    words = f"{entry.event} {entry.outcome}"
    if entry.token:
        words += f", lease {entry.token} of node '{entry.node}'"
    if entry.by:
        words += f", by {entry.by}"
    return f"{words}: {entry.reason}" if entry.reason else words


def _holder(facts: Facts, lease: Lease) -> Holder:
    silence = facts.silences.get(lease.token)
    quiet = silence is not None and silence.lasted_s >= QUIET_S
    return Holder(
        node=lease.node,
        access=lease.access.value,
        token=lease.token,
        since=lease.since,
        state=lease.state.value,
        silent_s=round(silence.lasted_s, 1) if silence and quiet else None,
    )
