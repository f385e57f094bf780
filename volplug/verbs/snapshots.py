"""The commands about snapshots: what a volume held at a moment, kept, listed and deleted."""

from volplug.admin import views
from volplug.verbs.terminal import Answer, Arguments, Commands, Shared, add, answering, client


def register(commands: Commands, shared: Shared) -> None:
    """Add the commands."""
    snapshot = commands.add_parser("snapshot", help="Keep what a volume holds, and list that.")
    verbs = snapshot.add_subparsers(required=True, metavar="COMMAND")
    text = "Keep what a volume holds now, in use or not."
    create = add(verbs, "create", answering(_snapshot), text, shared.asking)
    listing = add(verbs, "ls", answering(_snapshots), "List a volume's snapshots.", shared.asking)
    text = "Delete a snapshot; volumes made from it stay."
    remove = add(verbs, "rm", answering(_remove_snapshot), text, shared.asking)
    for verb in (create, listing, remove):
        verb.add_argument("name", metavar="VOLUME")
    for verb in (create, remove):
        verb.add_argument("snapshot", metavar="NAME")


def _snapshot(arguments: Arguments) -> Answer:
    taken = client(arguments).snapshot(arguments.name, arguments.snapshot)
    return taken, f"{taken['snapshot']} ({taken['consistency']}): {taken['why']}"


def _snapshots(arguments: Arguments) -> Answer:
    found = client(arguments).snapshots(arguments.name)
    return found, views.snapshots(found)


def _remove_snapshot(arguments: Arguments) -> Answer:
    client(arguments).remove_snapshot(arguments.name, arguments.snapshot)
    removed = f"{arguments.name}@{arguments.snapshot}"
    return {"removed": removed}, f"removed {removed}"
