"""`volplug serve --dev`: the first five minutes, out of a checkout.

The engine finds a plug-in by a file that names its socket, so as root, on a machine with an engine,
that file is written for as long as the trial lasts. Else there is curl to try it with.
"""

import contextlib
import os
import sys
from pathlib import Path

from volplug import main as wiring
from volplug.admin import spec
from volplug.config import Config


def serve(settings: Config, *, engine: Path) -> None:
    """Serve until a signal, after saying what to try; `engine` is the Docker engine's socket."""
    with contextlib.ExitStack() as stack:
        registers = os.geteuid() == 0 and engine.exists()
        problem = stack.enter_context(spec.registered(settings.socket)) if registers else ""
        words = [problem] if problem else []
        words.append(_try_next(settings.socket, docker=registers and not problem))
        sys.stdout.write("\n".join([*words, ""]))
        sys.stdout.flush()
        wiring.serve(settings)


def _try_next(socket: Path, *, docker: bool) -> str:
    """Say which commands to try next, in another terminal."""
    post = f"curl --unix-socket {socket} http://volplug/VolumeDriver."
    if docker:
        lines = [
            "docker volume create -d volplug data",
            "docker run --rm -v data:/data busybox sh -c 'date >> /data/log; cat /data/log'",
        ]
    else:
        lines = [
            f"""{post}Create -d '{{"Name":"data"}}'""",
            f"""{post}Mount -d '{{"Name":"data","ID":"try"}}'""",
        ]
    lines.append(f"{_shown_name()} ls --socket {socket}")
    return "\n  ".join(["try, in another terminal:", *lines])


def _shown_name() -> str:
    """Return how this program was called, as far as a person in the same directory must type."""
    called = Path(sys.argv[0])
    here = Path.cwd()
    return str(called.relative_to(here) if called.is_relative_to(here) else called)
