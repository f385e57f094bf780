"""How much goes wrong before a lease does: machines that write while all fails around them.

Prints what happened by kind, how many writes were made, and how many of them should not have been;
ends with an error if any promise was broken.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from tests.etcd.writes import KEYS, SPARE_S, Run, run
from volplug.session import silence_s


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    etcd, strace = shutil.which("etcd"), shutil.which("strace")
    if etcd is None or strace is None:
        sys.exit("needs etcd and strace (Debian: apt-get install etcd-server strace)")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # /tmp may be memory
        done = run(
            Path(etcd), Path(strace), Path(folder), seconds=asked.minutes * 60, seed=asked.seed
        )
    _tell(done)
    done.check()
    limit_s = silence_s(done.hold_ms) + SPARE_S
    late_s = [each for each in done.takeovers_s() if each > limit_s]
    if late_s:
        sys.exit(f"takeovers later than {limit_s:.1f} s: {late_s}")


def _tell(done: Run) -> None:
    for kind, times in sorted(done.faults.items()):
        print(f"{times:5} {kind}")
    print(f"{done.faults.total():5} faults in all")
    print(f"{done.writes} writes under {len(done.tenures)} tokens, stale: {len(done.stale())}")
    names = done.history.ops(KEYS)
    print(f"{len(names)} changes, applied twice: {len(names) - len(set(names))}")
    print(f"ambiguous answers resolved: {dict(done.settled)}; outcomes {dict(done.counts)}")
    times_s = sorted(done.takeovers_s())
    if times_s:
        print(
            f"{len(times_s)} volumes of dead machines granted after"
            f" {times_s[0]:.1f} / {statistics.median(times_s):.1f} / {times_s[-1]:.1f} s"
            f" (W {silence_s(done.hold_ms):.1f} s)"
        )


if __name__ == "__main__":
    main()
