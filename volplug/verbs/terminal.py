"""What all commands share: their options, whom they ask, and how an answer is shown.

An answer is found once and shown in either form: as JSON, for programs read what is piped, or for
the person at the terminal. So no command can tell one of them more than the other.
"""

import argparse
import getpass
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from volplug import config
from volplug.admin import wire
from volplug.admin.client import Client
from volplug.config import Config

Arguments: TypeAlias = argparse.Namespace
Parser: TypeAlias = argparse.ArgumentParser
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  typeshed's only name for it
Answer: TypeAlias = tuple[Any, str]
"""What a command found, for JSON, and how it looks on a terminal."""

_DEVELOPMENT = {"socket": "run/volplug.sock", "state_dir": "run/state"}


@dataclass(frozen=True, slots=True)
class Shared:
    """Options that several commands share: the file, the form of output, the socket."""

    file: Parser
    output: Parser
    socket: Parser

    @property
    def here(self) -> list[Parser]:
        """What a command has that looks at this machine."""
        return [self.file, self.output]

    @property
    def asking(self) -> list[Parser]:
        """What a command has that asks a running volplug."""
        return [*self.here, self.socket]


def shared() -> Shared:
    """Make the options that several commands share."""
    file, output, socket = (argparse.ArgumentParser(add_help=False) for _ in range(3))
    file.add_argument("--config", type=Path, metavar="FILE", help="volplug.toml to read")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", default=None, help="print JSON, as when piped")
    form.add_argument(
        "--table", action="store_false", dest="json", default=None, help="print for people"
    )
    socket.add_argument(
        "--socket",
        type=lambda text: Path(text).absolute(),
        metavar="FILE",
        help="socket of the running volplug",
    )
    return Shared(file, output, socket)


def add(
    commands: Commands,
    name: str,
    run: Callable[[Arguments], int],
    text: str,
    parents: list[argparse.ArgumentParser],
) -> Parser:
    """Add a command that returns its exit code, with its one line of help."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, parents=parents
    )
    command.set_defaults(run=run)
    return command


def answering(command: Callable[[Arguments], Answer]) -> Callable[[Arguments], int]:
    """Make a command out of a function that answers."""

    def run(arguments: Arguments) -> int:
        show(arguments, command(arguments))
        return 0

    return run


def show(arguments: Arguments, answer: Answer) -> None:
    """Print what was found: as JSON, unless a person is reading."""
    plain, readable = answer
    if arguments.json if arguments.json is not None else not sys.stdout.isatty():
        print(json.dumps(json.loads(wire.dump(plain)), indent=2, ensure_ascii=False))
    else:
        print(readable)


def client(arguments: Arguments) -> Client:
    """Return a caller of the running volplug."""
    return Client(arguments.socket or settings(arguments).socket)


def settings(arguments: Arguments) -> Config:
    """Load the configuration; a checkout's trial run never takes the machine's own file."""
    if not getattr(arguments, "dev", False):
        return config.load(arguments.config, os.environ)
    return config.load(arguments.config, os.environ, _DEVELOPMENT, default_file=None)


def engine_socket() -> Path:
    """Return where the Docker client would look for the engine."""
    return Path(
        os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    )


def by() -> str:
    """Return whose word it is, for the record."""
    who = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{who}@{platform.node()}"
