"""The commands about leases: who has them, why, what happened, and a person's word on a holder.

A word is kept with whose it was and why for ever, so neither is asked for twice or left out.
"""

import json

from volplug import journal
from volplug.admin import views, wire
from volplug.errors import Unavailable
from volplug.verbs.terminal import (
    Answer,
    Arguments,
    Commands,
    Parser,
    Shared,
    add,
    answering,
    by,
    client,
    settings,
)
from volplug.verbs.words import since


def register(commands: Commands, shared: Shared) -> None:
    """Add the commands."""
    asking = shared.asking
    leases = add(commands, "leases", answering(_leases), "List who may use what.", asking)
    leases.add_argument("name", metavar="NAME", nargs="?")
    _add_why(commands, asking)
    _add_lease(commands, asking)


def _add_why(commands: Commands, parents: list[Parser]) -> None:
    text = "Say why a volume is where it is, what happens next, and what to do now."
    why = add(commands, "why", answering(_why), text, parents)
    why.add_argument("name", metavar="NAME")
    text = "Tell what this node did, oldest first."
    events = add(commands, "journal", answering(_journal), text, parents)
    events.add_argument("name", metavar="NAME", nargs="?")
    events.add_argument(
        "--since", type=since, metavar="WHEN", help="such as 30m, 2h, 3d, or 2026-01-31T12:00:00Z"
    )


def _add_lease(commands: Commands, parents: list[Parser]) -> None:
    lease = commands.add_parser("lease", help="Take a lease from a machine that is gone.")
    verbs = lease.add_subparsers(required=True, metavar="COMMAND")
    release = add(verbs, "release", answering(_release), "Attest that a holder is off.", parents)
    release.add_argument("name", metavar="NAME")
    release.add_argument(
        "--reason", required=True, help="how you know that the holder cannot write; kept for ever"
    )
    text = "Attest that a node is off, which frees all its leases."
    evict = add(verbs, "evict", answering(_evict), text, parents)
    evict.add_argument("name", metavar="NODE")
    evict.add_argument(
        "--powered-off",
        required=True,
        action="store_true",
        help="you have seen that the machine has no power, or is cut from its storage",
    )
    evict.add_argument("--reason", required=True, help="how you know that; kept for ever")


def _leases(arguments: Arguments) -> Answer:
    found = client(arguments).leases(arguments.name)
    return [wire.from_lease(lease) for lease in found], views.leases(found)


def _why(arguments: Arguments) -> Answer:
    found = client(arguments).why(arguments.name)
    return found, views.why(found)


def _journal(arguments: Arguments) -> Answer:
    """Ask the running volplug; one that does not run is asked about most, so read its files."""
    try:
        found = client(arguments).journal(arguments.name, arguments.since)
    except Unavailable:
        kept = journal.read(
            settings(arguments).state_dir / "journal", arguments.name, arguments.since
        )
        found = json.loads(wire.dump([wire.from_entry(entry) for entry in kept]))
    return found, views.journal(found)


def _release(arguments: Arguments) -> Answer:
    done = client(arguments).release(arguments.name, by=by(), reason=arguments.reason)
    return {"done": done}, done


def _evict(arguments: Arguments) -> Answer:
    done = client(arguments).evict(arguments.name, by=by(), reason=arguments.reason)
    return {"done": done}, done
