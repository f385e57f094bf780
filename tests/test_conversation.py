"""A program that is talked to, and killed when it is late."""

import gc
import os
import sys
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import pytest

from volplug.command import Resident
from volplug.conversation import Conversation
from volplug.deadline import deadline
from volplug.errors import DeadlineExceeded, HostError, Unsupported

_ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def conversation(program: str) -> Conversation:
    """Start a program of a few lines."""
    return Conversation([sys.executable, "-c", program])


def test_answers_follow_questions() -> None:
    """Each question has its answer, small or large, for as long as the conversation goes on."""
    with deadline(20):
        echo = conversation(_ECHO)
        for text in ("a", "ü", "x" * 300_000, "line\nbreak"):
            assert echo.ask({"text": text}) == {"text": text}
    assert echo.alive
    echo.close()
    assert not echo.alive


def test_who_collects_the_garbage_keeps_its_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the end of a forgotten program sets there, in the midst of anything, is not seen."""
    ended = ContextVar("ended", default="not seen")
    left = conversation(_ECHO)
    program = left._program
    monkeypatch.setattr(program, "end", lambda: (Resident.end(program), ended.set("seen")))
    del left
    gc.collect()
    assert not program.alive
    assert ended.get() == "not seen"


def test_late_program_is_killed_with_its_children(tmp_path: Path) -> None:
    """At the deadline the program ends, with whatever it started, and says so once."""
    mark = tmp_path / "child"
    late = conversation(
        "import os, time\n"
        f"child = os.fork()\nif not child: open({str(mark)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(600)"
    )
    started = time.monotonic()
    with deadline(1), pytest.raises(DeadlineExceeded, match="did not answer in time"):
        late.ask({})
    assert time.monotonic() - started < 30
    assert not late.alive
    end = time.monotonic() + 60
    while Path(f"/proc/{mark.read_text()}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("input(); import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("input(); raise SystemExit('last words')", "ended with code 1: last words"),
        ("input(); print('no json', flush=True); input()", "was stopped"),
        ("input(); print('[1]', flush=True); input()", "gave no answer"),
        ("", "ended with code 0: no message"),
    ],
)
def test_end_instead_of_an_answer(program: str, words: str) -> None:
    """A program that crashes, ends or talks nonsense is told apart, with its last words."""
    with deadline(20), pytest.raises(HostError, match=words):
        conversation(program).ask({})


def test_program_that_is_not_there() -> None:
    """A missing program is refused when the conversation begins."""
    with pytest.raises(Unsupported, match="not installed"):
        Conversation(["/nonexistent/program"])


def test_forgotten_conversation_ends() -> None:
    """A program that nobody can ask any more does not go on, and leaves no descriptor open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count
    for _ in range(3):
        with deadline(20):
            conversation(_ECHO).ask({})
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  a count


def test_others_go_on_while_one_waits() -> None:
    """A thread that waits for an answer holds up no other."""
    slow = conversation("input(); import time; time.sleep(600)")
    waiting = threading.Thread(target=_ask_in_vain, args=(slow,))
    waiting.start()
    with deadline(10):
        assert conversation(_ECHO).ask({"a": 1}) == {"a": 1}
    assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def _ask_in_vain(one: Conversation) -> None:
    with deadline(1), pytest.raises(DeadlineExceeded):
        one.ask({})
