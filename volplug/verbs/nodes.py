"""The commands about the nodes of a cluster: how each stands, and that one is gone for good."""

from volplug.admin import views
from volplug.verbs.terminal import Answer, Arguments, Commands, Shared, add, answering, client


def register(commands: Commands, shared: Shared) -> None:
    """Add the commands."""
    node = commands.add_parser("node", help="List the nodes of the cluster, or forget one.")
    verbs = node.add_subparsers(required=True, metavar="COMMAND")
    add(verbs, "ls", answering(_nodes), "List the nodes, and how each stands.", shared.asking)
    text = "Forget a node that is gone for good; it must be silent and hold nothing."
    forget = add(verbs, "forget", answering(_forget), text, shared.asking)
    forget.add_argument("name", metavar="NODE")


def _nodes(arguments: Arguments) -> Answer:
    found = client(arguments).nodes()
    return found, views.nodes(found)


def _forget(arguments: Arguments) -> Answer:
    done = client(arguments).forget(arguments.name)
    return {"done": done}, done
