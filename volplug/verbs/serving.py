"""The commands that stay: `volplug serve`, and the guard beside it."""

from volplug.errors import HostError
from volplug.verbs.terminal import Arguments, Commands, Shared, add, engine_socket, settings


def register(commands: Commands, shared: Shared) -> None:
    """Add the commands."""
    serve = add(commands, "serve", _serve, "Serve Docker on a unix socket.", [shared.file])
    serve.add_argument("--dev", action="store_true", help="try it: everything below ./run")
    text = "Stop this node's writers when it cannot renew."
    add(commands, "guard", _guard, text, [shared.file])


def _serve(arguments: Arguments) -> int:
    from volplug import main as wiring  # noqa: PLC0415  Flask is not loaded for `volplug ls`
    from volplug import trial  # noqa: PLC0415  neither

    if not arguments.dev:
        wiring.serve(settings(arguments))
        return 0
    trial.serve(settings(arguments), engine=engine_socket())
    return 0


def _guard(arguments: Arguments) -> int:
    from volplug import stores  # noqa: PLC0415  as above
    from volplug.linux import guard  # noqa: PLC0415  as above

    post = stores.guard_post(settings(arguments))
    try:
        guard.serve(post, ready=lambda: None, stays=True)
    except OSError as error:
        raise HostError(f"the guard cannot serve in {post.directory}: {error}") from error
    return 0
