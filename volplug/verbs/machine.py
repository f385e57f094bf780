"""The commands that need no running volplug: drivers, the store, and what this machine lacks.

They are asked when nothing runs yet, or any more. So each loads late what it needs, and what is
missing is a sentence in the answer and no traceback at the start.
"""

import dataclasses
import sys

from volplug.admin import views
from volplug.verbs.terminal import (
    Answer,
    Arguments,
    Commands,
    Parser,
    Shared,
    add,
    answering,
    engine_socket,
    settings,
    show,
)


def register(commands: Commands, shared: Shared) -> None:
    """Add the commands."""
    here = shared.here
    listing = add(commands, "drivers", answering(_drivers), "List drivers and options.", here)
    listing.add_argument("name", metavar="NAME", nargs="?", help="tell all about this driver")
    _add_store(commands, here)
    text = "Say what this machine lacks and how to get it."
    add(commands, "doctor", _doctor, text, shared.asking)


def _add_store(commands: Commands, parents: list[Parser]) -> None:
    store = commands.add_parser("store", help="Move or mend the store, while volplug is stopped.")
    verbs = store.add_subparsers(required=True, metavar="COMMAND")
    text = "Move this node's own volumes into the store of its cluster."
    migrate = add(verbs, "migrate", answering(_migrate), text, parents)
    migrate.add_argument("--dry-run", action="store_true", help="only say what would be moved")
    text = "Accept a cluster's store that was restored from a backup."
    add(verbs, "declare-restored", answering(_declare_restored), text, parents)


def _drivers(arguments: Arguments) -> Answer:
    from volplug.admin import drivers  # noqa: PLC0415  not loaded for `volplug ls`

    if arguments.name:
        one = drivers.details(arguments.name, settings(arguments))
        return one, views.driver(one)
    found = drivers.summaries(settings(arguments))
    return found, views.drivers(found)


def _migrate(arguments: Arguments) -> Answer:
    from volplug import stores  # noqa: PLC0415  as above

    def tell(step: str) -> None:
        print(step, file=sys.stderr, flush=True)

    moves = stores.migrate(settings(arguments), dry_run=arguments.dry_run, tell=tell)
    plain = [
        {"volume": move.record.name, "moved": not arguments.dry_run, "clash": move.clash or None}
        for move in moves
    ]
    return plain, views.moves(plain, dry_run=arguments.dry_run)


def _declare_restored(arguments: Arguments) -> Answer:
    from volplug import stores  # noqa: PLC0415  as above

    generation = stores.declare_restored(settings(arguments))
    return {"generation": generation}, f"the store is in its generation {generation} now"


def _doctor(arguments: Arguments) -> int:
    from volplug import stores  # noqa: PLC0415  as above
    from volplug.admin import doctor  # noqa: PLC0415  as above
    from volplug.admin.machine import Machine  # noqa: PLC0415  as above

    chosen = settings(arguments)
    if arguments.socket:
        chosen = dataclasses.replace(chosen, socket=arguments.socket)
    found = doctor.examine(chosen, Machine(), engine_socket()) + stores.examine(chosen)
    plain = [one.plain for one in found]
    show(arguments, (plain, views.findings(plain)))
    return int(any(one.state == "MISSING" for one in found))
