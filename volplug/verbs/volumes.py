"""The commands about volumes: what there is, and what is made, enlarged and deleted."""

from volplug.admin import views
from volplug.verbs.terminal import Answer, Arguments, Commands, Shared, add, answering, client
from volplug.verbs.words import key_and_value, size


def register(commands: Commands, shared: Shared) -> None:
    """Add the commands."""
    asking = shared.asking
    add(commands, "ls", answering(_ls), "List the volumes.", asking)
    inspect = add(commands, "inspect", answering(_inspect), "Tell all about a volume.", asking)
    inspect.add_argument("name", metavar="NAME")
    create = add(commands, "create", answering(_create), "Create a volume.", asking)
    create.add_argument("name", metavar="NAME")
    create.add_argument(
        "-o",
        dest="option",
        metavar="KEY=VALUE",
        type=key_and_value,
        action="append",
        default=[],
        help="an option, such as size=10G, access=shared or backend=loop; may be repeated",
    )
    expand = add(commands, "expand", answering(_expand), "Make a volume larger.", asking)
    expand.add_argument("name", metavar="NAME")
    expand.add_argument("size", metavar="SIZE", type=size, help="such as 20G; never smaller")
    remove = add(commands, "rm", answering(_rm), "Delete a volume with all its data.", asking)
    remove.add_argument("name", metavar="NAME")


def _ls(arguments: Arguments) -> Answer:
    found = client(arguments).volumes()
    return found, views.volumes(found)


def _inspect(arguments: Arguments) -> Answer:
    found = client(arguments).inspect(arguments.name)
    return found, views.volume(found)


def _create(arguments: Arguments) -> Answer:
    client(arguments).create(arguments.name, dict(arguments.option))
    return {"created": arguments.name}, f"created {arguments.name}"


def _expand(arguments: Arguments) -> Answer:
    client(arguments).expand(arguments.name, arguments.size)
    return {"expanded": arguments.name}, f"{arguments.name} has {arguments.size}"


def _rm(arguments: Arguments) -> Answer:
    client(arguments).remove(arguments.name)
    return {"removed": arguments.name}, f"removed {arguments.name}"
