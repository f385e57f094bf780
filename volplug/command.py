"""The only place that starts a process.

A helper such as mount.nfs can sit in uninterruptible sleep, where SIGKILL does not end it until
the server answers. `run` therefore never returns while its child lives: the thread that called it
waits, the volume it works on stays Busy, and nobody else is held up (operations.py gives each
operation a thread of its own and lets its callers leave at their own deadline).

A helper may also leave a daemon behind, as the FUSE mount helpers do, which keeps the helper's
output open for as long as it lives. So the end of the process is waited for, and not the end of
its output, which is caught in memory files instead of pipes.

A program that is to stay and be talked to is a `Resident`; conversation.py talks.
"""

import fcntl
import math
import os
import select
import shlex
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import IO

from volplug.deadline import check, deadline, remaining
from volplug.errors import DeadlineExceeded, HostError, Unsupported

# A fixed locale, for we read the tools' words; and nothing of ours, for secrets may stand there.
_ENVIRONMENT = {
    "LC_ALL": "C",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}

_SSH = ("ssh", "dbclient")


@dataclass(frozen=True, slots=True)
class _Behalf:
    """On whose behalf programs are started: variables that tell, and leave to start another."""

    variables: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Callable[[], None], ...] = ()


_behalf: ContextVar[_Behalf | None] = ContextVar("behalf", default=None)


@contextmanager
def on_behalf(name: str, value: str, check: Callable[[], None] | None = None) -> Iterator[None]:
    """Have every program that is started in the block carry a variable by which it can be found.

    Their daemons carry it, too. `check` is asked before each start, and may raise. What an outer
    block asks for stays in force.
    """
    outer = _behalf.get() or _Behalf()
    checks = outer.checks if check is None else (*outer.checks, check)
    token = _behalf.set(_Behalf({**outer.variables, name: value}, checks))
    try:
        yield
    finally:
        _behalf.reset(token)


@dataclass(frozen=True, slots=True)
class Result:
    """How a process ended, with what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        """The tool's own last words, on one line."""
        text = self.stderr.strip() or self.stdout.strip()
        return " ".join(text.split())[-500:]


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    expect: Collection[int] = (0,),
    through: Sequence[str] = (),
) -> Result:
    """Run a program to its end, or kill it with its children when the deadline passes.

    `through` are the words of a program that prepares the place and then becomes this one.

    Raises Unsupported if the program is not installed, DeadlineExceeded if it was killed or never
    started for lack of time, and HostError, carrying its own words, if it could not be started or
    ended with a code that is not in `expect`.
    """
    name = os.path.basename(os.fspath(argv[0]))  # noqa: PTH119  argv[0] may be a bare program name
    check(name)
    with _memory_file("stdout") as stdout, _memory_file("stderr") as stderr:
        process = _start(name, [*through, *argv], subprocess.DEVNULL, stdout, stderr)
        late = not _ends_in_time(process)
        if late:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if late:
            raise DeadlineExceeded(f"{name} did not finish in time and was stopped")
        result = Result(process.returncode, _read(stdout), _read(stderr))
    if result.code not in expect:
        raise HostError(f"{name} failed with code {result.code}: {result.words or 'no message'}")
    return result


def by_way_of(way: Sequence[str], argv: Sequence[str]) -> list[str]:
    """Return the command that runs a program by way of others: none, sudo, ssh with a host.

    ssh joins its words to one line for a shell at the far end, which would take parentheses and
    pipes for its own (ssh(1)): where it is on the way, the program's words are quoted.
    """
    shell = any(PurePath(word).name in _SSH for word in way)
    return [*way, *(map(shlex.quote, argv) if shell else argv)]


class Resident:
    """A program that stays, with pipes to its standard input and output.

    Raises, when it is started, Unsupported if it is not installed and HostError if it cannot be.
    """

    def __init__(self, argv: Sequence[str | os.PathLike[str]]) -> None:
        self._words = _memory_file("stderr")
        name = os.path.basename(os.fspath(argv[0]))  # noqa: PTH119  it may be a bare program name
        try:
            self._process = _start(name, argv, subprocess.PIPE, subprocess.PIPE, self._words)
        except BaseException:
            self._words.close()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    @property
    def alive(self) -> bool:
        """Whether the program runs."""
        return self._process.poll() is None

    def end(self, *, patience_s: float = 0.0) -> str:
        """Kill the program and its children, after some patience; say how it ended, in its words.

        Repeating is success.
        """
        if self._words.closed:
            return "is over"
        with deadline(patience_s):
            ended = self._process.poll() is not None or _ends_in_time(self._process)
        if not ended:
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        self.stdin.close()
        self.stdout.close()
        words = " ".join(_read(self._words).split())[-500:]
        self._words.close()
        return f"{_ending(code) if ended else 'was stopped'}: {words or 'no message'}"


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _start(
    name: str,
    argv: Sequence[str | os.PathLike[str]],
    stdin: int,
    stdout: IO[bytes] | int,
    stderr: IO[bytes],
) -> "subprocess.Popen[bytes]":
    behalf = _behalf.get() or _Behalf()
    for may_start in behalf.checks:
        may_start()
    try:
        return subprocess.Popen(
            [os.fspath(word) for word in argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=0,
            env={**_ENVIRONMENT, **behalf.variables},
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise Unsupported(
            f"{name} is not installed on this machine; `volplug doctor` names the package"
        ) from error
    except OSError as error:
        raise HostError(f"{name} could not be started: {error.strerror}") from error


def _ends_in_time(process: "subprocess.Popen[bytes]") -> bool:
    """Wait for the end of the process itself, which may have left children, or for the deadline."""
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        limit_s = remaining()
        return bool(poll.poll(None if limit_s == math.inf else min(limit_s * 1000, 2**31 - 1)))
    finally:
        os.close(ended)


def _memory_file(name: str) -> IO[bytes]:
    file = os.memfd_create(name)
    # The process and its children write into one file: without O_APPEND, over each other's words.
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
    return os.fdopen(file, "w+b")


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
