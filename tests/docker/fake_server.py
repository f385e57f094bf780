"""A real server on fake volumes: `python -m tests.docker.fake_server ROOT [THREADS SLOW]`."""

import os
import sys
from pathlib import Path

from flask import Flask

from tests.docker.fake_volumes import FakeVolumes
from volplug.docker import create_app, serve
from volplug.errors import Unavailable, VolplugError


def main(root: Path, threads: int, slow_calls: int) -> None:
    """Serve until told to stop."""

    def build() -> Flask:
        if (root / "refuse").exists():
            raise Unavailable("the state directory is in use by another agent")
        if (root / "crash").exists():
            raise ZeroDivisionError
        (root / "worker").write_text(str(os.getpid()))
        return create_app(FakeVolumes(root), slow_calls=slow_calls)

    serve(
        build,
        socket_path=Path(os.environ.get("VOLPLUG_TEST_SOCKET", root / "v.sock")),
        threads=threads,
        ready=(root / "ready").touch,
        closing=(root / "closed").touch,
    )
    with (root / "returned").open("a") as returned:
        returned.write(f"{os.getpid()}\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *map(int, sys.argv[2:4] or ("128", "96")))
    except VolplugError as error:
        sys.exit(str(error))
