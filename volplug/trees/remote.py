"""A Tree whose verbs run in child processes that can be killed.

The libraries that speak to file servers from user space hang, crash and hold the interpreter's lock
(backends-file 2.1 and 3.1), so none is ever loaded here: `serve_tree` runs in the child,
`RemoteTree` in volplug. A child serves one question at a time, and one whose server failed it is
thrown away, for such a connection may be dead for good.
"""

import dataclasses
import errno
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from volplug import errors
from volplug.conversation import Conversation
from volplug.deadline import deadline
from volplug.errors import HostError, VolplugError
from volplug.trees.tree import Entry, Space, Tree, inside

_SPARE_CHILDREN = 2
_FRESH_S = 0.1
"""How long after an answer a child is taken to be connected without asking."""


class RemoteTree(Tree):
    """A tree that a program serves; it is started when needed and ended when it is late.

    For any number of threads: each question has a child to itself.
    """

    def __init__(self, argv: Sequence[str | os.PathLike[str]], *, answer_s: float = 10.0) -> None:
        """Serve from that program, giving it `answer_s` for an answer, its start included."""
        self._argv = tuple(argv)
        self._answer_s = answer_s
        self._spare: list[tuple[Conversation, float]] = []

    def mkdir(self, path: str) -> None:
        """See Tree."""
        self._ask("mkdir", path)

    def stat(self, path: str) -> Entry:
        """See Tree."""
        return Entry(*self._ask("stat", path))

    def entries(self, path: str) -> list[Entry]:
        """See Tree."""
        return [Entry(*fields) for fields in self._ask("entries", path)]

    def chown(self, path: str, uid: int, gid: int) -> None:
        """See Tree."""
        self._ask("chown", path, uid, gid)

    def chmod(self, path: str, mode: int) -> None:
        """See Tree."""
        self._ask("chmod", path, mode)

    def rename(self, old: str, new: str) -> None:
        """See Tree."""
        self._ask("rename", old, inside(new))

    def rmdir(self, path: str) -> None:
        """See Tree."""
        self._ask("rmdir", path)

    def unlink(self, path: str) -> None:
        """See Tree."""
        self._ask("unlink", path)

    def statvfs(self, path: str) -> Space:
        """See Tree."""
        return Space(*self._ask("statvfs", path))

    def write(self, path: str, text: str) -> None:
        """See Tree."""
        self._ask("write", path, text)

    def read(self, path: str) -> str:
        """See Tree."""
        return str(self._ask("read", path))

    def close(self) -> None:
        """End the children that wait for work. The tree may be used again."""
        while self._spare:
            self._spare.pop()[0].close()

    def _ask(self, verb: str, path: str, *rest: Any) -> Any:
        question = {"verb": verb, "arguments": [inside(path), *rest]}
        with deadline(self._answer_s):
            child = self._child()
            answer = child.ask(question)
        if "error" in answer:
            child.close()
            raise getattr(errors, answer["error"])(answer["words"])
        if len(self._spare) < _SPARE_CHILDREN:
            self._spare.append((child, time.monotonic()))
        else:
            child.close()
        if "errno" in answer:
            raise OSError(answer["errno"], answer["words"], path)
        return answer["value"]

    def _child(self) -> Conversation:
        """Take a waiting child that is still connected, or start one."""
        while True:
            try:
                child, since_s = self._spare.pop()
            except IndexError:
                return Conversation(self._argv)
            if time.monotonic() - since_s < _FRESH_S or _connected(child):
                return child
            child.close()


def _connected(child: Conversation) -> bool:
    """Ask for what changes nothing: a server that was restarted has cut its connections."""
    try:
        return "error" not in child.ask({"verb": "stat", "arguments": ["."]})
    except HostError:
        return False


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this installation, free of the user's settings."""
    return [sys.executable, "-I", "-X", "utf8", "-m", name, *arguments]


def serve_tree(connect: Callable[[], Tree]) -> NoReturn:
    """Answer a RemoteTree's questions until it closes our input, or goes away, even when stuck.

    `connect` is called for the first question, so that its failure is an answer as well.
    """
    faulthandler.enable()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library's chatter must not stand between our answers
    questions = _questions()
    try:
        first = next(questions)
        tree = connect()
    except VolplugError as error:
        _say(answers, {"error": type(error).__name__, "words": str(error)})
    except StopIteration:
        pass
    else:
        _answer_all(tree, first, questions, answers)
    os._exit(0)  # never through glfs_fini, which takes 10 s (backends-file 3.1)


def _answer_all(tree: Tree, first: dict[str, Any], more: Iterator[dict[str, Any]], to: Any) -> None:
    question: dict[str, Any] | None = first
    while question is not None:
        try:
            value = getattr(tree, question["verb"])(*question["arguments"])
            _say(to, {"value": _plain(value)})
        except VolplugError as error:
            _say(to, {"error": type(error).__name__, "words": str(error)})
            return
        except OSError as error:
            _say(to, {"errno": error.errno or errno.EIO, "words": error.strerror or str(error)})
        question = next(more, None)


def _questions() -> Iterator[dict[str, Any]]:
    """Yield what is asked. A thread of its own notices that the asker is gone, and ends us."""
    arrived: list[bytes] = []
    some = threading.Semaphore(0)

    def read() -> None:
        for line in sys.stdin.buffer:
            arrived.append(line)
            some.release()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=read, daemon=True).start()
    while True:
        some.acquire()
        yield json.loads(arrived.pop())


def _plain(value: Any) -> Any:
    """Turn an answer into lists and numbers, as `RemoteTree` reads it."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return dataclasses.astuple(value) if isinstance(value, Entry | Space) else value


def _say(to: Any, answer: dict[str, Any]) -> None:
    to.write(json.dumps(answer).encode() + b"\n")
