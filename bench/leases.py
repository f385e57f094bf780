"""How many leases a second, and how long one takes, with 1, 16 and 64 callers at once.

Each caller acquires and releases a volume of its own on one SQLite store. Beside it, in the same
run, stands what the disk allows without group commit: one connection, one commit per change. The
ratios are what to compare between machines; the disk's flush time decides the rest.
"""

import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from volplug.session import Session
from volplug.sqlite import SqliteStore
from volplug.volume import AccessMode

_SECONDS = 2.0
_CALLERS = (1, 16, 64)


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # /tmp may be memory
        single = _measure([_single_commits(Path(folder) / "plain.db")])
        _print("one commit per change", 1, single, single)
        store = SqliteStore(Path(folder) / "store.db")
        table = store.leases(Session("bench", "boot", "hardware", "instance"))

        def caller(number: int) -> Callable[[], None]:
            def step() -> None:
                lease = table.acquire(f"volume-{number}", AccessMode.SINGLE_WRITER)
                table.release(lease)

            return step

        for callers in _CALLERS:
            times = _measure([caller(number) for number in range(callers)])
            _print("acquire + release", callers, times, single)
        store.close()


def _measure(steps: list[Callable[[], None]]) -> list[float]:
    """Repeat each step in a thread of its own, and return how many seconds each step took."""
    times: list[float] = []
    end = time.perf_counter() + _SECONDS

    def repeat(step: Callable[[], None]) -> None:
        while (start := time.perf_counter()) < end:
            step()
            times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=repeat, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _single_commits(path: Path) -> Callable[[], None]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE lease (vol TEXT PRIMARY KEY)")

    def step() -> None:
        connection.execute("INSERT INTO lease VALUES ('volume')")
        connection.execute("DELETE FROM lease")

    return step


def _print(what: str, callers: int, times: list[float], single: list[float]) -> None:
    """Print one line: changes per second, and milliseconds per change."""
    changes = 2 * len(times)
    p50, p99 = (statistics.quantiles(times, n=100)[rank] * 1000 / 2 for rank in (49, 98))
    print(
        f"{what:22} {callers:3} callers {changes / _SECONDS:8.0f}/s "
        f"(x{len(times) / len(single):.2f})  p50 {p50:6.3f} ms  p99 {p99:6.3f} ms"
    )


if __name__ == "__main__":
    main()
