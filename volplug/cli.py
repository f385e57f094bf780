"""The command line: `volplug serve`, and what an operator asks a running one.

Docker's own commands cannot say who holds a volume or take a lease from a dead machine
(docker-contract rule 30); these can. A refusal is one sentence on stderr and exit code 1, a
mistake on the command line is 2, and output is JSON unless a person is reading.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from volplug.errors import VolplugError
from volplug.verbs import leases, machine, nodes, serving, snapshots, volumes
from volplug.verbs.terminal import shared

_EXAMPLES = """\
examples:
  volplug serve                            serve the Docker engine of this machine
  volplug serve --dev                      try it from a checkout, with or without root
  volplug create data -o size=10G          the same as: docker volume create -d volplug …
  volplug snapshot create data monday      keep what it holds; -o clone_of=data@monday uses it
  volplug leases                           who may use which volume
  volplug why data                         why its Mount was refused, and what to do now
  volplug lease release data --reason "web1 was switched off at 14:05"
  volplug lease evict web1 --powered-off --reason "its plug is out since 14:05"
  volplug store migrate --dry-run          what would move into the cluster's store
  volplug doctor                           what this machine lacks, and how to get it

exit codes: 0 done, 1 refused (one sentence on stderr), 2 mistyped
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a refusal never shows a traceback."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except VolplugError as error:
        print(f"volplug: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `volplug ls | head`: nobody reads on, and nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="volplug",
        description="Persistent volumes for containers on any host.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    options = shared()
    for group in (serving, volumes, leases, snapshots, nodes, machine):
        group.register(commands, options)
    return parser


if __name__ == "__main__":
    sys.exit(main())
