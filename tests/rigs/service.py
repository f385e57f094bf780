"""A service as a service manager sees it: a cgroup, which is ended with everything in it."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.rigs.network import until
from volplug import source
from volplug.linux import mountinfo
from volplug.source import Source

_STAGE = """
import sys
from contextlib import suppress
from pathlib import Path
from volplug.linux import LinuxHost, mounting
from volplug.source import from_json
from volplug.testing import Known
base, programs, text = sys.argv[1:]
mounting.HELPER_DIRECTORIES = (Path(programs),)
host = LinuxHost(Path(base, "state"), Path(base, "mounts"))
print(Known().stage(host, "v", from_json(text)), flush=True)
sys.stdin.read()
"""
_ENTER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'


class Service:
    """A process in a cgroup of its own that stages volumes, and stays."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.cgroup = unified() / f"volplug-test-{os.getpid()}"
        self.cgroup.mkdir()

    def stage(self, share: Source, programs: Path) -> Path:
        """Stage the volume `v`, and return where it is."""
        argv = ["sh", "-c", _ENTER, str(self.cgroup), sys.executable, "-c", _STAGE]
        self._process = subprocess.Popen(
            [*argv, self.base, programs, source.to_json(share)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        path = self._process.stdout.readline().strip()
        assert path, "it was not staged"
        return Path(path)

    def processes(self) -> list[int]:
        """Return all that runs in the cgroup."""
        return [int(word) for word in (self.cgroup / "cgroup.procs").read_text().split()]

    def end(self) -> None:
        """Kill everything in the cgroup, and remove that; repeating is success."""
        if not self.cgroup.exists():
            return
        for process in self.processes():
            os.kill(process, signal.SIGKILL)
        self._process.communicate()
        until(self._is_removed, "the service to be gone")

    def _is_removed(self) -> bool:
        """Remove the cgroup, which is busy for a moment after its last process was reaped."""
        with suppress(OSError):
            self.cgroup.rmdir()
        return not self.cgroup.exists()


def unified() -> Path:
    """Return where the unified hierarchy is mounted; skips where it cannot be written."""
    for mount in mountinfo.read():
        if mount.fstype == "cgroup2" and mount.root == "/" and "rw" in mount.options:
            return Path(mount.mountpoint)
    pytest.skip("needs a cgroup v2 hierarchy that can be written")
