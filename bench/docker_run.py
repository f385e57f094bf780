"""What `docker run` costs with a volplug volume, against the engine's own `local` driver.

Both are measured in one run, turn by turn, on an engine of our own, so that whatever else the
machine does falls on both. Needs root and the docker.io package.

    python -m bench.docker_run [--rounds 30]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

from tests.e2e.engine import IMAGE, Node, need_engine

VOLUMES = {
    "the engine's own": ["-d", "local"],
    "volplug local": ["-d", "volplug"],
    "volplug loop": ["-d", "volplug", "-o", "backend=loop", "-o", "size=64M"],
}


def main() -> None:
    """Measure, and print a table of milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    need_engine()
    node = Node()
    try:
        node.start_volplug()
        node.start_engine()
        for number, (_, options) in enumerate(VOLUMES.items()):
            node.docker("volume", "create", *options, f"v{number}").ok()
        times: dict[str, list[float]] = {name: [] for name in VOLUMES}
        for _ in range(rounds):
            for number, name in enumerate(VOLUMES):
                run = ("run", "--rm", "--network=none", "-v", f"v{number}:/data", IMAGE, "true")
                times[name].append(_timed(partial(node.docker, *run)))
    finally:
        node.power_off()
    _print(times)


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def _print(times: dict[str, list[float]]) -> None:
    [own, *_] = times.values()
    print(f"{'docker run --rm -v':24}{'p50 ms':>10}{'min ms':>10}{'ratio of p50':>14}")
    for name, measured in times.items():
        ratio = statistics.median(measured) / statistics.median(own)
        print(f"{name:24}{statistics.median(measured):10.0f}{min(measured):10.0f}{ratio:14.3f}")


if __name__ == "__main__":
    main()
