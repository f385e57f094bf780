"""The promises of verdict.py: each case told from its facts, with one safe thing to do."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from volplug.catalog import Record, RecordState
from volplug.event import Entry, Event, Outcome
from volplug.facts import QUIET_S, Facts, Ways
from volplug.lease import Condemnation, Lease, LeaseState
from volplug.mount_table import MountRow
from volplug.session import Silence
from volplug.takeover import Ground
from volplug.verdict import Case, judge
from volplug.volume import AccessMode
from volplug.why import answer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RECORD = Record("data", "gold", AccessMode.SINGLE_WRITER, {}, NOW, state=RecordState.READY)
THEIRS = Lease("data", "b", AccessMode.SINGLE_WRITER, 41, NOW)
MINE = replace(THEIRS, node="a")
FENCE = Ways(ground=Ground.FENCE)
SILENCE = Ways(ground=Ground.SILENCE, wait_s=19.5)
WORD_ONLY = Ways(ground=Ground.WORD, because="takeover is manual")
FACTS = Facts(volume="data", node="a", record=RECORD, driver="nfs-ganesha", takeover=FENCE)


def row(mount_id: str) -> MountRow:
    """A use of the volume on this node."""
    return MountRow("data", "a", mount_id, 1, 0, "boot-1", NOW)


def silence(lasted_s: float) -> dict[int, Silence]:
    """Say that the holder has not been heard of for that long."""
    return {41: Silence(NOW, lasted_s, 16.0)}


def noted(event: Event, outcome: Outcome = Outcome.DONE, reason: str = "", token: int = 0) -> Entry:
    """An event of the volume."""
    return Entry(at=NOW, event=event, outcome=outcome, volume="data", reason=reason, token=token)


LAPSED = replace(THEIRS, state=LeaseState.LAPSED)
CONDEMNED = replace(THEIRS, state=LeaseState.CONDEMNED)
WORD = Condemnation("data", "b", 41, "anna@a", "its plug is out", NOW)
FENCE_FAILED = noted(Event.FENCE, Outcome.FAILED, "no route to the filer", 41)
HELD = "volume 'data' is held by node 'b' as single-writer since 2026-01-02 03:04:05 UTC"
EVICT = 'volplug lease evict b --powered-off --reason "b was switched off at …"'
RELEASE = 'volplug lease release data --reason "b was switched off at …"'

CASES: list[tuple[Case, Mapping[str, Any], str, str, str]] = [
    (
        Case.ABSENT,
        {"record": None, "similar": ("date", "data2")},
        "there is no volume 'data' (`volplug ls` lists them)",
        "similar names: 'date', 'data2'",
        "volplug ls",
    ),
    (
        Case.CREATING,
        {
            "record": replace(RECORD, state=RecordState.CREATING),
            "entries": (noted(Event.CREATE, Outcome.FAILED, "the cloud is away"),),
        },
        "there is no volume 'data' yet: backend 'gold' has not finished making it",
        "the last try failed: the cloud is away",
        "volplug doctor",
    ),
    (
        Case.CREATING,
        {
            "record": replace(RECORD, state=RecordState.CREATING),
            "operation": "create for 3 s",
            "entries": (noted(Event.CREATE, Outcome.FAILED, "the cloud is away"),),
        },
        "there is no volume 'data' yet",
        "it is being made at this moment (create for 3 s)",
        "",
    ),
    (
        Case.DELETING,
        {"record": replace(RECORD, state=RecordState.DELETING)},
        "volume 'data' is being deleted and cannot be mounted any more",
        "unless another node is at it",
        "",
    ),
    (Case.FREE, {}, "volume 'data' is held by nobody", "the next Mount, on any node, gets it", ""),
    (
        Case.FAILED,
        {"entries": (noted(Event.MOUNT, Outcome.FAILED, "mkfs said no"),)},
        "mkfs said no",
        "the next one tries again",
        "volplug doctor",
    ),
    (
        Case.FREE,
        {"entries": (noted(Event.MOUNT, Outcome.FAILED, "mkfs said no"), noted(Event.MOUNT))},
        "volume 'data' is held by nobody",
        "the next Mount",
        "",
    ),
    (
        Case.HERE,
        {"leases": (MINE,), "users": (row("c1"), row("c2"))},
        (
            "volume 'data' is held by this node, 'a', as single-writer since 2026-01-02 03:04:05"
            " UTC, and mounted as c1, c2"
        ),
        "soon after its last container has ended",
        "",
    ),
    (
        Case.HERE,
        {"leases": (MINE,), "elsewhere": 2},
        "mounted 2 times more on this machine, though no container has it",
        "once no process here has it mounted",
        "",
    ),
    (
        Case.HERE,
        {
            "record": replace(RECORD, access=AccessMode.SINGLE_CONTAINER),
            "leases": (replace(MINE, access=AccessMode.SINGLE_CONTAINER),),
            "users": (row("c1"),),
        },
        (
            "volume 'data' is held by another container on node 'a' since 2026-01-02 03:04:05 UTC,"
            " and access=single-container admits one mount"
        ),
        "soon after its last container has ended",
        "",
    ),
    (
        Case.LIVE,
        {"leases": (THEIRS,), "silences": silence(2.9)},
        f"{HELD} (live): stop its containers there or wait",
        "a Mount here waits for node 'b' to give it back",
        "docker ps --filter volume=data",
    ),
    (
        Case.SILENT,
        {"leases": (THEIRS,), "silences": silence(9.2)},
        f"{HELD} (live)",
        "its node has been silent for 9 s; at 16 s node 'a' may fence it through nfs-ganesha",
        "",
    ),
    (
        Case.SILENT,
        {"leases": (THEIRS,), "silences": silence(QUIET_S), "takeover": WORD_ONLY},
        f"{HELD} (live)",
        "silent for 7 s; at 16 s its lease lapses and, as takeover is manual, waits for a",
        "",
    ),
    (
        Case.LAPSED,
        {"leases": (LAPSED,), "silences": silence(20)},
        f"{HELD} (lapsed): its node has been silent since 2026-01-02 03:04:05 UTC",
        "the next Mount here has node 'b' fenced through nfs-ganesha, and gets the volume",
        "",
    ),
    (
        Case.LAPSED,
        {
            "leases": (LAPSED,),
            "silences": silence(20),
            "entries": (noted(Event.FENCE, Outcome.BEGUN, token=41),),
            "operation": "mount for 18 s",
        },
        f"{HELD} (lapsed)",
        "node 'b' is being fenced through nfs-ganesha at this moment",
        "",
    ),
    (
        Case.LAPSED,
        {"leases": (LAPSED,), "silences": silence(20), "takeover": WORD_ONLY},
        f"{HELD} (lapsed)",
        "takeover is manual, so the lease waits for a person's word",
        EVICT,
    ),
    (
        Case.LAPSED,
        {
            "leases": (LAPSED,),
            "silences": silence(20),
            "takeover": replace(WORD_ONLY, gone=False),
        },
        f"{HELD} (lapsed)",
        "takeover is manual, so the lease waits for a person's word",
        RELEASE,
    ),
    (
        Case.SILENT,
        {"leases": (THEIRS,), "silences": silence(9.2), "takeover": SILENCE},
        f"{HELD} (live)",
        "silent for 9 s; at 20 s it has stopped itself, and the next Mount here gets the volume",
        "",
    ),
    (
        Case.LAPSED,
        {"leases": (LAPSED,), "silences": silence(17), "takeover": SILENCE},
        f"{HELD} (lapsed)",
        "at 19.5 s of silence its node has stopped itself, and a Mount here gets it",
        "",
    ),
    (
        Case.LAPSED,
        {"leases": (LAPSED,), "silences": silence(20), "takeover": SILENCE},
        f"{HELD} (lapsed)",
        "its node has stopped itself by now, and the next Mount here gets the volume",
        "",
    ),
    (
        Case.FENCE_FAILED,
        {"leases": (LAPSED,), "silences": silence(20), "entries": (FENCE_FAILED,)},
        f"{HELD} (lapsed)",
        "tries again; fencing it through nfs-ganesha failed: no route to the filer",
        EVICT,
    ),
    (
        Case.LAPSED,
        {
            "leases": (LAPSED,),
            "silences": silence(20),
            "entries": (replace(FENCE_FAILED, token=40),),
        },
        f"{HELD} (lapsed)",
        "the next Mount here has node 'b' fenced",
        "",
    ),
    (
        Case.CONDEMNED,
        {"leases": (CONDEMNED,), "condemnations": (WORD,)},
        "volume 'data' was taken from node 'b' by anna@a (its plug is out), and nobody has it yet",
        "the next Mount, on any node, gets it",
        "",
    ),
    (
        Case.QUARANTINED,
        {"stale": ("logs", "logs", "data")},
        "node 'a' gets no new lease: its lease of volume 'data', 'logs' was taken from it",
        "Mounts on other nodes are not concerned",
        "docker ps --filter volume=data",
    ),
    (
        Case.CONDEMNED,
        {
            "leases": (replace(MINE, state=LeaseState.CONDEMNED),),
            "condemnations": (WORD,),
            "stale": ("data",),
        },
        "volume 'data' was taken from node 'a'",
        "on node 'a' once it has removed what it had mounted",
        "",
    ),
    (
        Case.TAKEN,
        {
            "leases": (replace(MINE, state=LeaseState.CONDEMNED),),
            "condemnations": (WORD,),
            "users": (row("c1"),),
        },
        (
            "volume 'data' is used on node 'a', and its lease was taken away by anna@a (its plug is"
            " out): another node may be writing to it"
        ),
        "until all of its containers here have ended",
        "docker ps --filter volume=data",
    ),
    (
        Case.BACKEND_DOWN,
        {"backend_trouble": "the filer does not answer"},
        "the filer does not answer",
        "nobody holds the volume; a Mount succeeds once its backend answers",
        "volplug doctor",
    ),
    (
        Case.LIVE,
        {
            "leases": (THEIRS,),
            "silences": silence(1),
            "backend_trouble": "the filer does not answer",
        },
        HELD,
        "a Mount here waits",
        "docker ps --filter volume=data",
    ),
    (
        Case.STORE_DOWN,
        {"store_trouble": "no member of the store answered", "leases": (THEIRS,)},
        "no member of the store answered",
        "volumes in use go on",
        "volplug doctor",
    ),
    (
        Case.FREE,
        {
            "record": replace(RECORD, access=AccessMode.SHARED),
            "leases": (replace(THEIRS, access=AccessMode.SHARED),),
        },
        "volume 'data' is shared by b, and keeps nobody out",
        "the next Mount here joins them",
        "",
    ),
]


@pytest.mark.parametrize(("case", "changes", "sentence", "then", "command"), CASES)
def test_case(
    case: Case, changes: Mapping[str, Any], sentence: str, then: str, command: str
) -> None:
    """Each state of things has its sentence, what happens next, and the one thing to do."""
    verdict = judge(replace(FACTS, **changes))
    assert verdict.case is case
    assert verdict.sentence.startswith(sentence) or sentence in verdict.sentence
    assert then in verdict.next
    assert verdict.command == command


def test_every_case_stands_on_the_table() -> None:
    """No case is left out above."""
    assert {case for case, *_ in CASES} == set(Case)


def test_command_that_can_do_harm_has_its_condition() -> None:
    """A lease is taken on a person's word, and the word is what has to be true before."""
    for _, changes, *_, command in CASES:
        verdict = judge(replace(FACTS, **changes))
        assert bool(verdict.only_once) == ("--reason" in command)


def test_command_names_where() -> None:
    """What is to be run on another node says on which, and a volume's name cannot break it."""
    facts = replace(FACTS, volume="a b", leases=(replace(THEIRS, volume="a b"),))
    verdict = judge(replace(facts, silences=silence(1)))
    assert (verdict.command, verdict.where) == ("docker ps --filter volume='a b'", "b")


def test_holders_and_what_was_tried() -> None:
    """The holder's token, since when it is silent, fences with their failures, operators' words."""
    facts = replace(
        FACTS,
        leases=(LAPSED,),
        silences=silence(20),
        condemnations=(replace(WORD, token=40, at=NOW - timedelta(hours=1)),),
        entries=(noted(Event.GRANT), FENCE_FAILED),
    )
    told = answer(facts)
    [holder] = told.holders
    assert (holder.node, holder.token, holder.state, holder.silent_s) == ("b", 41, "lapsed", 20.0)
    assert told.tried == (
        "2026-01-02 02:04:05 UTC lease 40 taken from node 'b' by anna@a: its plug is out",
        "2026-01-02 03:04:05 UTC fence failed, lease 41 of node '': no route to the filer",
    )


def test_word_that_stands_in_both_places_is_told_once() -> None:
    """What this node noted itself is not told again from the store."""
    entry = Entry(at=NOW, event=Event.CONDEMN, node="b", token=41, by="anna@a", reason="plug")
    facts = replace(FACTS, condemnations=(WORD,), entries=(entry,))
    [told] = answer(facts).tried
    assert told.endswith("condemn done, lease 41 of node 'b', by anna@a: plug")


@pytest.mark.parametrize(
    ("leases", "others", "told"),
    [((THEIRS,), ("b",), True), ((THEIRS,), (), False), ((), ("b",), False)],
)
def test_waiters_elsewhere_are_not_hidden(
    leases: tuple[Lease, ...], others: tuple[str, ...], *, told: bool
) -> None:
    """Where another node may wait for a lease, the answer says that it does not know of it."""
    facts = replace(FACTS, leases=leases, others=others)
    assert ("not shown here" in answer(facts).not_shown) is told


@pytest.mark.parametrize(
    ("operation", "entries", "waits"),
    [
        ("mount for 3 s", (noted(Event.WAIT, Outcome.BEGUN),), True),
        ("", (noted(Event.WAIT, Outcome.BEGUN),), False),
        ("mount for 3 s", (noted(Event.WAIT, Outcome.BEGUN), noted(Event.GRANT)), False),
        ("mount for 3 s", (), False),
    ],
)
def test_who_waits(operation: str, entries: tuple[Entry, ...], waits: bool) -> None:
    """A Mount that is under way and has no lease yet waits; one of an earlier time does not."""
    told = answer(replace(FACTS, operation=operation, entries=entries)).waiting
    assert told == (("a Mount on node 'a' since 2026-01-02 03:04:05 UTC",) if waits else ())
