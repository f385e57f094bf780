"""A writer on another host: it mounts a share, writes as long as it runs, and tells each result.

Run as a program: `writer.py DIRECTORY`. The times are of the monotonic clock, which all network
namespaces of a machine share.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.rigs.network import Host, until


class Writer:
    """The program, running on a host."""

    def __init__(self, host: Host, mount: list[str], directory: Path) -> None:
        script = f"{' '.join(mount)} && exec {sys.executable} {__file__} {directory}"
        self._process = subprocess.Popen(
            host.argv("unshare", "--mount", "sh", "-c", script),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.results: list[tuple[float, int]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            began_s, number = line.split()
            self.results.append((float(began_s), int(number)))

    def writes(self) -> None:
        """Return once another write has succeeded."""
        seen = len(self.results)
        until(lambda: any(number == 0 for _, number in self.results[seen:]), "a write")

    def fails(self) -> None:
        """Return once another write has failed."""
        seen = len(self.results)
        until(lambda: any(number for _, number in self.results[seen:]), "a write to fail")

    def last_success_s(self) -> float:
        """Return when the last write that succeeded was begun; its answer may come late."""
        return max(began_s for began_s, number in self.results if number == 0)

    def stop(self) -> None:
        """End the program."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def main(directory: Path) -> None:
    """Write and sync again and again; print when each attempt began, and its errno."""
    while True:
        number = 0
        began_s = time.monotonic()
        try:
            file = os.open(directory / "written", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            try:
                os.write(file, b"x" * 512)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            number = error.errno or -1
        sys.stdout.write(f"{began_s} {number}\n")
        sys.stdout.flush()
        time.sleep(0.005)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
