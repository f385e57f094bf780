"""How things stand with a volume: in which case, what happens next and when, and what to do now.

From facts to a verdict, without a look at anything: so every case can be put on a table and read,
also those that a machine reaches once in its life. The command is one that is safe to run, and an
empty one means that nothing needs to be done.
"""

import shlex
from dataclasses import dataclass
from enum import StrEnum

from volplug import refusal
from volplug.catalog import Record, RecordState
from volplug.event import Event, Outcome
from volplug.facts import QUIET_S, Facts
from volplug.lease import Lease, LeaseState, held_elsewhere, in_utc, quarantined
from volplug.session import Silence
from volplug.takeover import Ground
from volplug.volume import AccessMode


class Case(StrEnum):
    """How things stand with a volume."""

    STORE_DOWN = "store-down"
    ABSENT = "absent"
    CREATING = "creating"
    DELETING = "deleting"
    TAKEN = "taken"  # from this node, where it is still used
    LIVE = "held-elsewhere"
    SILENT = "silent"  # held elsewhere by a node that has begun to be silent
    LAPSED = "lapsed"
    FENCE_FAILED = "fence-failed"
    HERE = "held-here"
    QUARANTINED = "quarantined"  # this node has to remove what was taken from it first
    CONDEMNED = "condemned"
    BACKEND_DOWN = "backend-down"
    FAILED = "failed"  # nobody holds it, for the last Mount here did not succeed
    FREE = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What differs from case to case. `command` is for node `where`, or for any if it is empty."""

    case: Case
    sentence: str
    next: str
    command: str = ""
    where: str = ""
    only_once: str = ""


def judge(facts: Facts) -> Verdict:
    """Say how things stand; the same facts give the same verdict."""
    record = facts.record
    if facts.store_trouble:
        return _store_down(facts)
    if record is None:
        return _absent(facts)
    if record.state is not RecordState.READY:
        return _unfinished(facts, record)
    return (
        _taken(facts)
        or _held_elsewhere(facts, record)
        or _here(facts, record)
        or _quarantined(facts)
        or _condemned(facts)
        or _backend_down(facts)
        or _free(facts)
    )


def _store_down(facts: Facts) -> Verdict:
    return Verdict(
        case=Case.STORE_DOWN,
        sentence=facts.store_trouble,
        next="volumes in use go on, Mounts succeed again once the store answers, and nothing is"
        " lost meanwhile; holders are shown as they were last seen",
        command="volplug doctor",
    )


def _absent(facts: Facts) -> Verdict:
    similar = ", ".join(f"'{name}'" for name in facts.similar)
    return Verdict(
        case=Case.ABSENT,
        sentence=str(refusal.absent(facts.volume)),
        next=f"similar names: {similar}" if similar else "no volume has a similar name",
        command="volplug ls",
    )


def _unfinished(facts: Facts, record: Record) -> Verdict:
    making = record.state is RecordState.CREATING
    verb, event = ("made", Event.CREATE) if making else ("deleted", Event.DELETE)
    failure = facts.last_failure(event)
    if facts.operation:
        fate = f"it is being {verb} at this moment ({facts.operation})"
    elif failure:
        fate = f"that is tried again within half a minute; the last try failed: {failure.reason}"
    else:
        fate = "that is tried again within half a minute, unless another node is at it"
    return Verdict(
        case=Case.CREATING if making else Case.DELETING,
        sentence=str(refusal.not_ready(record)),
        next=fate,
        command="volplug doctor" if failure and not facts.operation else "",
    )


def _taken(facts: Facts) -> Verdict | None:
    """Judge a volume that is used here after its lease was taken from this node."""
    lease = facts.mine()
    used = facts.users or facts.elsewhere
    if lease is None or lease.state is not LeaseState.CONDEMNED or not used:
        return None
    return Verdict(
        case=Case.TAKEN,
        sentence=f"volume '{facts.volume}' is used on node '{facts.node}', and its lease was taken"
        f" away{facts.by_whom(lease)}: another node may be writing to it",
        next="no new Mount succeeds here until all of its containers here have ended",
        command=_containers(facts.volume),
        where=facts.node,
    )


def _held_elsewhere(facts: Facts, record: Record) -> Verdict | None:
    lease = facts.barring(record.access)
    if lease is None:
        return None
    silence = facts.silences.get(lease.token)
    sentence = str(held_elsewhere(lease, silence.since if silence else lease.since))
    if lease.state is LeaseState.LAPSED:
        return _lapsed(facts, lease, sentence)
    if silence is not None and silence.lasted_s >= QUIET_S:
        return _silent(facts, silence, sentence)
    return Verdict(
        case=Case.LIVE,
        sentence=sentence,
        next=f"a Mount here waits for node '{lease.node}' to give it back, and is refused in the"
        " end; a live node's lease is not taken",
        command=_containers(facts.volume),
        where=lease.node,
    )


def _silent(facts: Facts, silence: Silence, sentence: str) -> Verdict:
    limit_s = silence.limit_s
    match facts.takeover.ground:
        case Ground.FENCE:
            then = f"node '{facts.node}' may fence it through {facts.driver}"
        case Ground.SILENCE:
            limit_s = facts.takeover.wait_s
            then = "it has stopped itself, and the next Mount here gets the volume"
        case Ground.WORD:
            then = f"its lease lapses and, as {facts.takeover.because}, waits for a person's word"
    return Verdict(
        case=Case.SILENT,
        sentence=sentence,
        next=f"its node has been silent for {silence.lasted_s:.0f} s; at {limit_s:.0f} s {then}",
    )


def _lapsed(facts: Facts, lease: Lease, sentence: str) -> Verdict:
    match facts.takeover.ground:
        case Ground.FENCE:
            return _to_be_fenced(facts, lease, sentence)
        case Ground.SILENCE:
            return Verdict(case=Case.LAPSED, sentence=sentence, next=_waited_out(facts, lease))
        case Ground.WORD:
            then = f"{facts.takeover.because}, so the lease waits for a person's word"
            return _by_word(facts, lease, Case.LAPSED, sentence, then)


def _to_be_fenced(facts: Facts, lease: Lease, sentence: str) -> Verdict:
    last = facts.last_fence(lease)
    if last is not None and last.outcome is Outcome.FAILED:
        then = f"the next Mount here tries again; fencing it through {facts.driver} failed: "
        return _by_word(facts, lease, Case.FENCE_FAILED, sentence, then + last.reason)
    if last is not None and last.outcome is Outcome.BEGUN and facts.operation:
        then = f"node '{lease.node}' is being fenced through {facts.driver} at this moment"
    else:
        then = f"the next Mount here has node '{lease.node}' fenced through {facts.driver}, and"
        then += " gets the volume"
    return Verdict(case=Case.LAPSED, sentence=sentence, next=then)


def _waited_out(facts: Facts, lease: Lease) -> str:
    silence, wait_s = facts.silences.get(lease.token), facts.takeover.wait_s
    if silence is not None and silence.lasted_s < wait_s:
        return f"at {wait_s:g} s of silence its node has stopped itself, and a Mount here gets it"
    return "its node has stopped itself by now, and the next Mount here gets the volume"


def _by_word(facts: Facts, lease: Lease, case: Case, sentence: str, then: str) -> Verdict:
    """Name what attests that a holder cannot write, with what has to be true for that.

    A node that is off holds no lease rightly, so it is evicted as a whole. One that was heard of in
    a later life is not off, and only what it held in the earlier one can be over.
    """
    reason = f'--reason "{lease.node} was switched off at …"'
    if facts.takeover.gone:
        command = f"volplug lease evict {shlex.quote(lease.node)} --powered-off {reason}"
        only_once = f"node '{lease.node}' is switched off for certain"
    else:
        command = f"volplug lease release {shlex.quote(facts.volume)} {reason}"
        only_once = f"node '{lease.node}' is switched off, or cut from its storage, for certain"
    return Verdict(case=case, sentence=sentence, next=then, command=command, only_once=only_once)


def _here(facts: Facts, record: Record) -> Verdict | None:
    lease = facts.mine()
    if lease is None or lease.state is LeaseState.CONDEMNED:
        return None
    if facts.users:
        then = "it leaves this node soon after its last container has ended"
    elif facts.operation:
        then = f"an operation is under way: {facts.operation}"
    else:
        then = "it is given back once no process here has it mounted"
    if facts.users and record.access is AccessMode.SINGLE_CONTAINER:
        sentence = str(refusal.single_container(facts.volume, facts.node, facts.users))
    else:
        sentence = (
            f"volume '{facts.volume}' is held by this node, '{facts.node}', as {lease.access}"
            f" since {in_utc(lease.since)}, and {facts.use()}"
        )
    return Verdict(case=Case.HERE, sentence=sentence, next=then)


def _quarantined(facts: Facts) -> Verdict | None:
    """Judge a volume that this node could have, if it were not for others that were taken."""
    if not (volumes := facts.not_removed()):
        return None
    return Verdict(
        case=Case.QUARANTINED,
        sentence=str(quarantined(facts.node, volumes)),
        next="Mounts on other nodes are not concerned; this node gets leases again soon after the"
        " last container that uses those volumes here has ended",
        command=_containers(volumes[0]),
        where=facts.node,
    )


def _condemned(facts: Facts) -> Verdict | None:
    for lease in facts.leases:
        if lease.state is LeaseState.CONDEMNED:
            return Verdict(
                case=Case.CONDEMNED,
                sentence=f"volume '{facts.volume}' was taken from node '{lease.node}'"
                f"{facts.by_whom(lease)}, and nobody has it yet",
                next="the next Mount, on any node, gets it; on node"
                f" '{lease.node}' once it has removed what it had mounted",
            )
    return None


def _backend_down(facts: Facts) -> Verdict | None:
    if not facts.backend_trouble:
        return None
    return Verdict(
        case=Case.BACKEND_DOWN,
        sentence=facts.backend_trouble,
        next="nobody holds the volume; a Mount succeeds once its backend answers, and nothing is"
        " lost meanwhile",
        command="volplug doctor",
    )


def _free(facts: Facts) -> Verdict:
    if others := [lease.node for lease in facts.leases]:
        return Verdict(
            case=Case.FREE,
            sentence=f"volume '{facts.volume}' is shared by {', '.join(others)}, and keeps nobody"
            " out",
            next="the next Mount here joins them",
        )
    if failure := facts.last_failure(Event.MOUNT):
        return Verdict(
            case=Case.FAILED,
            sentence=failure.reason,
            next=f"nobody holds the volume since that Mount failed, {in_utc(failure.at)}; the next"
            " one tries again",
            command="volplug doctor",
        )
    return Verdict(
        case=Case.FREE,
        sentence=f"volume '{facts.volume}' is held by nobody",
        next="the next Mount, on any node, gets it",
    )


def _containers(volume: str) -> str:
    return f"docker ps --filter volume={shlex.quote(volume)}"
