"""A writer on another host: it mounts a share, writes as long as it runs, and tells each result.

Run as a program: `writer.py DIRECTORY WAY...`. It writes in each way to a file of that name, and
reaches them through the mount that it found at its start: a client that was cut off may unmount
itself, and a path would then lead to this machine's own disk. The times are of the monotonic clock,
which all network namespaces of a machine share.
"""

import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.rigs.network import Host, until

_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_APPEND
WAYS = {"written": _FLAGS, "buffered": _FLAGS, "direct": _FLAGS | os.O_DIRECT}
"""The ways to write, and their flags: `written` is synced after each write."""


class Writer:
    """The program, running on a host."""

    def __init__(self, host: Host, mount: list[str], directory: Path, *ways: str) -> None:
        self._ways = ways or ("written",)
        program = f"{sys.executable} {__file__} {directory} {' '.join(self._ways)}"
        self._process = subprocess.Popen(
            host.argv("unshare", "--mount", "sh", "-c", f"{' '.join(mount)} && exec {program}"),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.results: list[tuple[float, int, str]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            began_s, number, way = line.split()
            self.results.append((float(began_s), int(number), way))

    def writes(self) -> None:
        """Return once another write has succeeded, in each way."""
        self._each_way(lambda number: number == 0, "a write")

    def fails(self) -> None:
        """Return once another write has failed, in each way."""
        self._each_way(lambda number: number != 0, "a write to fail")

    def _each_way(self, ended: Callable[[int], bool], what: str) -> None:
        seen = len(self.results)
        until(
            lambda: (
                {way for _, number, way in self.results[seen:] if ended(number)} == set(self._ways)
            ),
            f"{what}, {' and '.join(self._ways)}",
        )

    def last_success_s(self) -> float:
        """Return when the last write that succeeded was begun; its answer may come late."""
        return max(began_s for began_s, number, _ in self.results if number == 0)

    def stop(self) -> None:
        """End the program."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def main(directory: Path, ways: list[str]) -> None:
    """Write in all those ways at the same time, to what is mounted there."""
    assert directory.stat().st_dev != directory.parent.stat().st_dev, "nothing is mounted there"
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    threads = [threading.Thread(target=_write_on, args=(place, way)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _write_on(place: int, way: str) -> None:
    """Write again and again; print when each attempt began, its errno, and the way."""
    block = mmap.mmap(-1, mmap.PAGESIZE)  # O_DIRECT wants its memory aligned
    while True:
        number = 0
        began_s = time.monotonic()
        try:
            file = os.open(way, WAYS[way], 0o600, dir_fd=place)
            try:
                os.write(file, block)
                if way == "written":
                    os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            number = error.errno or -1
        os.write(1, f"{began_s} {number} {way}\n".encode())  # whole lines, of several threads
        time.sleep(0.005)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
