"""Makes the Docker engine find a volplug that serves on a socket of its own: one spec file.

The engine looks below /run/docker/plugins first, then in /etc/docker/plugins for NAME.spec, a
line with an URL (docker-contract 1.1). A spec that names a dead socket costs every `docker volume
ls` fifteen seconds (docker-contract 1.5), so ours goes when we go, and a stranger's is never
touched.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPEC = Path("/etc/docker/plugins/volplug.spec")


@contextmanager
def registered(socket: Path, spec: Path = SPEC) -> Iterator[str]:
    """Register a socket with the engine inside the block; yield why not, or an empty text.

    A spec that says the same already, left by a run that was killed, is taken over and removed
    at the end too. Only the process that wrote it removes it, for a server forks.
    """
    owner = os.getpid()
    line = f"unix://{socket}\n"
    problem = _write(spec, line)
    try:
        yield problem
    finally:
        if not problem and os.getpid() == owner:
            with contextlib.suppress(OSError):
                spec.unlink()


def _write(spec: Path, line: str) -> str:
    """Write the spec, and say why not if it cannot be."""
    try:
        spec.parent.mkdir(parents=True, exist_ok=True)
        with spec.open("x") as file:
            file.write(line)
    except FileExistsError:
        found = spec.read_text(errors="replace")
        if found != line:
            return (
                f"{spec} belongs to another volplug ({found.strip()}): remove it to register this"
            )
    except OSError as error:
        return f"cannot write {spec}: {error.strerror}"
    return ""
