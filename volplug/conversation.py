"""Questions and answers, one line of JSON each, with a program that is killed when it is late.

A library that hangs for ever, crashes, or keeps the interpreter's lock while it waits (libnfs does
all three, backends-file 2.1) is only ever called in a process that can be killed.
"""

import json
import math
import os
import select
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from typing import Any

from volplug.command import Resident
from volplug.deadline import remaining
from volplug.errors import DeadlineExceeded, HostError


class Conversation:
    """A program that stays and answers each line of JSON with one line of JSON.

    It is killed, with its children, when an answer is not there at the deadline, and is over then:
    start another. One question at a time, so a Conversation is for one thread at a time. The
    program must end when its standard input does.
    """

    def __init__(self, argv: Sequence[str | os.PathLike[str]]) -> None:
        words = [os.fspath(word) for word in argv]
        # What people call it is the module in `python -m module`.
        self._name = words[words.index("-m") + 1] if "-m" in words[:-1] else words[0]
        self._buffer = b""
        self._program = Resident(argv)

    def __del__(self) -> None:
        """End a program that nobody can ask any more.

        In a context of its own: Python 3.11 collects garbage also while a context variable is being
        set. To set one meanwhile in the same context, as a deadline does, may leave a pointer to
        what was freed, and crash the interpreter.
        """
        if hasattr(self, "_program"):
            copy_context().run(self.close)

    @property
    def alive(self) -> bool:
        """Whether the program runs, so that it can be asked."""
        return self._program.alive

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send one question and return its answer.

        Raises DeadlineExceeded if the program was killed because it did not answer in time, and
        HostError, carrying its last words, if it ended instead of answering: the outcome of the
        question is unknown in both cases.
        """
        try:
            self._program.stdin.write(json.dumps(question).encode() + b"\n")
            answer = json.loads(self._line())
        except DeadlineExceeded:
            self.close()
            raise
        except (BrokenPipeError, EOFError, ValueError) as error:
            # It takes a moment from the end of its output to its end, of which we want the reason.
            raise HostError(f"{self._name} {self._program.end(patience_s=1)}") from error
        if not isinstance(answer, dict):
            raise HostError(f"{self._name} gave no answer but {answer!r}; it {self.close()}")
        return answer

    def close(self) -> str:
        """End the program now and say how it ended, with its last words. Repeating is success."""
        return self._program.end()

    def _line(self) -> bytes:
        """Read up to the end of a line, or to the deadline."""
        poll = select.poll()
        poll.register(self._program.stdout, select.POLLIN)
        while b"\n" not in self._buffer:
            left_s = remaining()
            limit_ms = None if left_s == math.inf else min(left_s * 1000, 2**31 - 1)
            if not poll.poll(limit_ms):
                raise DeadlineExceeded(f"{self._name} did not answer in time and was stopped")
            read = os.read(self._program.stdout.fileno(), 1 << 16)
            if not read:
                raise EOFError
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
