"""A process tree in namespaces of its own, which ends as a whole: the bare metal of a node.

The host's files are shared and everything else is private: mounts, PIDs, network, host name, /run.
Nothing leaks, for the kernel kills what lives in a PID namespace when its first process ends. Only
two things outlive that, and are cleaned up by hand: loop devices and cgroup directories, which
belong to no namespace here.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any

PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"  # the distribution's programs
FIRST_PROCESS = Path(__file__).with_name("first_process.py")
_LOOP_CLR_FD = 0x4C01  # linux/loop.h


@dataclass(frozen=True, slots=True)
class Result:
    """How a command in the box ended, what it printed, and how long it took."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float

    def ok(self) -> str:
        """Return what it printed, without the last newline; fail the test if it failed."""
        assert self.code == 0, f"{' '.join(self.argv)} failed with code {self.code}: {self.stderr}"
        return self.stdout.rstrip("\n")

    def refused(self) -> str:
        """Return its words on standard error; fail the test if it did not fail."""
        assert self.code != 0, f"{' '.join(self.argv)} succeeded and should not: {self.stdout}"
        return self.stderr.strip()


def poll(condition: Callable[[], bool], awaited: str, seconds: float) -> None:
    """Return once the condition holds; fail the test, naming what was awaited, if it never did."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {awaited}"
        time.sleep(0.01)


class Process:
    """A process that runs in the box, with its output in a file."""

    def __init__(self, box: "Box", name: str, pid: int, log: Path) -> None:
        self.name = name
        self.pid = pid
        self.log = log
        self._box = box

    @property
    def code(self) -> int | None:
        """How it ended: its code, or the negative signal; None while it runs."""
        code: int | None = self._box.request("ended", pid=self.pid)
        return code

    def kill(self, signal: Signals = SIGKILL, *, group: bool = False) -> None:
        """Send it a signal, or to everything it started as well. Already gone is success."""
        self._box.request("kill", pid=self.pid, number=int(signal), group=group)

    def wait(self, seconds: float = 30) -> int:
        """Return how it ended; fail the test if it does not end."""
        poll(lambda: self.code is not None, f"the end of {self.name}", seconds)
        assert self.code is not None
        return self.code


class Box:
    """One node's worth of namespaces, on from the moment it is made until `off`."""

    def __init__(self, directory: Path, name: str, machine: Path | None = None) -> None:
        """Switch it on; `machine` holds the identity of its hardware and disk, if not ours."""
        self.directory = directory
        self._lock = threading.Lock()
        boot_id = directory / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        # fmt: off
        self._first = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "--pid", "--net", "--uts", "--ipc",
             "--fork", "--kill-child=SIGKILL", "--mount-proc",
             sys.executable, str(FIRST_PROCESS), name, str(boot_id), str(machine or "")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={"PATH": PATH, "LC_ALL": "C"},
        )
        # fmt: on
        assert self._read() == "ready"

    @property
    def pid(self) -> int:
        """The first process, as this machine counts them."""
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        poll(lambda: bool(children.read_text()), "the node's first process", seconds=20)
        return int(children.read_text().split()[0])

    def request(self, call: str, **arguments: object) -> Any:
        """Have the first process do something, and return its answer."""
        assert self._first.stdin is not None
        with self._lock:
            self._first.stdin.write(json.dumps([call, arguments]) + "\n")
            self._first.stdin.flush()
            answer = self._read()
        assert "error" not in answer, f"{call} {arguments}: {answer['error']}"
        return answer["value"]

    def _read(self) -> Any:
        assert self._first.stdout is not None
        line = self._first.stdout.readline()
        assert line, "the first process of the node ended; its words stand above"
        return json.loads(line)

    def start(self, name: str, argv: list[str], env: Mapping[str, str]) -> Process:
        """Start a daemon; what it prints is added to NAME.log."""
        log = self.directory / f"{name}.log"
        return Process(self, name, self._spawn(argv, env, os.devnull, log, log), log)

    def run(
        self,
        argv: list[str],
        env: Mapping[str, str],
        stdin: str = os.devnull,
        seconds: float = 60,
    ) -> Result:
        """Run a command to its end; kill it and fail the test if that does not come in time."""
        begin = time.monotonic()
        out, err = (
            self.directory / f"run-{uuid.uuid4().hex}.{stream}" for stream in ("out", "err")
        )
        process = Process(self, argv[0], self._spawn(argv, env, stdin, out, err), err)
        try:
            code = process.wait(seconds)
            texts = [path.read_text(errors="replace") for path in (out, err)]
        except AssertionError:
            process.kill(group=True)
            raise
        finally:
            out.unlink()
            err.unlink()
        return Result(tuple(argv), code, texts[0], texts[1], time.monotonic() - begin)

    def _spawn(
        self, argv: list[str], env: Mapping[str, str], stdin: str, out: Path, err: Path
    ) -> int:
        pid: int = self.request(
            "start", argv=argv, env=dict(env), stdin=stdin, stdout=str(out), stderr=str(err)
        )
        return pid

    def answers(self, socket: Path) -> bool:
        """Say whether somebody in the box listens on this unix socket."""
        listens: bool = self.request("answers", path=str(socket))
        return listens

    def off(self) -> None:
        """Cut the power: everything in the box is killed at once, and its loop devices are freed.

        Returns when nothing of it runs any more. Doing it again does nothing.
        """
        assert self._first.stdin is not None
        assert self._first.stdout is not None
        self._first.stdin.close()
        self._first.wait(timeout=20)
        self._first.stdout.close()
        _free_loop_devices(self.directory)


def _free_loop_devices(directory: Path) -> None:
    """Detach every loop device whose file lies in the directory."""
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            ours = Path(backing.read_text().strip()).is_relative_to(directory)
        except OSError:  # detached in between
            continue
        if ours:
            device = os.open(f"/dev/{backing.parts[3]}", os.O_RDONLY)
            try:
                fcntl.ioctl(device, _LOOP_CLR_FD)
            finally:
                os.close(device)


def remove_cgroups(name: str) -> None:
    """Remove the cgroup directories of that name, and those below, from every hierarchy."""
    for top in Path("/sys/fs/cgroup").glob(f"**/{name}"):
        for directory, _, _ in os.walk(top, topdown=False):
            Path(directory).rmdir()


def remove_tree(directory: Path) -> None:
    """Remove what a node left on the disk; its mount points are immutable while unused."""
    subprocess.run(["chattr", "-R", "-f", "-i", directory], check=False)
    shutil.rmtree(directory)
