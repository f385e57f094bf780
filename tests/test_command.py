"""Processes end when they should, with their children, and tell their own words."""

import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from volplug.command import by_way_of, on_behalf, run
from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded, HostError, Unsupported

# Long enough to notice if somebody waits for it, short enough not to stay for ever.
_LONG = "60"


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _wait_gone(pid: int) -> None:
    with deadline(10):
        wait_until(lambda: not _is_alive(pid), f"the end of process {pid}", poll_s=0.01)


def test_result_has_code_and_output() -> None:
    """What a program printed, on either side, is there when it ended well."""
    result = run(["sh", "-c", "echo out; echo err >&2"])
    assert (result.code, result.stdout, result.stderr) == (0, "out\n", "err\n")


def test_expected_codes_are_no_failure() -> None:
    """Some programs tell with their code."""
    assert run(["sh", "-c", "exit 3"], expect=(0, 3)).code == 3


def test_failure_carries_the_tools_own_words() -> None:
    """The sentence has the program, its code, and what it said, on one line."""
    with pytest.raises(HostError, match=r"^sh failed with code 4: no such disk$"):
        run(["sh", "-c", "echo 'no such\n  disk' >&2; exit 4"])
    with pytest.raises(HostError, match=r"^sh failed with code 5: only this$"):
        run(["sh", "-c", "echo only this; exit 5"])
    with pytest.raises(HostError, match=r"^false failed with code 1: no message$"):
        run(["false"])


def test_program_killed_by_another_is_a_failure() -> None:
    """A death by signal is told as what it is, and not as our deadline."""
    with deadline(30), pytest.raises(HostError, match="code -9"):
        run(["sh", "-c", "kill -9 $$"])


def test_missing_program_says_where_to_look() -> None:
    """Not installed is not a failure of the disk."""
    with pytest.raises(Unsupported, match=r"no-such-program is not installed.*volplug doctor"):
        run(["no-such-program", "--now"])


def test_file_that_cannot_be_executed_is_told(tmp_path: Path) -> None:
    """A program without its x bit is an error for people, and not a bug."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(HostError, match="program could not be started: Permission denied"):
        run([program])


def test_no_shell_reads_the_words() -> None:
    """Whatever stands in an argument is that argument."""
    text = "$(id) `id` ; rm -rf * | 'x' \"y\" \n -n"
    assert run(["printf", "%s", text]).stdout == text


def test_bytes_that_are_no_text_do_not_matter() -> None:
    """Tools print file names, and those may be anything."""
    assert run(["printf", r"a\377b"]).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets may stand in ours; and the tools' words are read in one language."""
    monkeypatch.setenv("VOLPLUG_SECRET", "hunter2")
    printed = run(["env"]).stdout
    assert "hunter2" not in printed
    assert "LC_ALL=C" in printed


def test_programs_tell_on_whose_behalf_they_run() -> None:
    """Blocks inside one another add up: every variable is carried, and all are asked before."""

    def refuse() -> None:
        raise HostError("too late")

    with on_behalf("ONE", "1", lambda: None):
        with on_behalf("TWO", "2"):
            assert {"ONE=1", "TWO=2"} <= set(run(["env"]).stdout.split())
        with (
            on_behalf("TWO", "2", refuse),
            on_behalf("THREE", "3"),
            pytest.raises(HostError, match="too late"),
        ):
            run(["env"])
        assert "TWO" not in run(["env"]).stdout
    assert "ONE" not in run(["env"]).stdout


def test_nothing_can_be_read_from_the_terminal() -> None:
    """A tool that asks gets an end of file, and cannot hang on an answer."""
    assert run(["cat"]).stdout == ""


def test_much_output_does_not_block() -> None:
    """A program may print more than a pipe holds, on both sides."""
    result = run(["sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"])
    assert (len(result.stdout), len(result.stderr)) == (3_000_000, 3_000_000)


def test_deadline_kills_what_will_not_end(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is dead when run returns, and so is its own child."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep {_LONG} & echo $$ $! > {pids}; wait; sleep {_LONG}"
    started = time.monotonic()
    with deadline(1), pytest.raises(DeadlineExceeded, match="sh did not finish in time"):
        run(["sh", "-c", script])
    assert time.monotonic() - started < 10
    child, grandchild = map(int, pids.read_text().split())
    assert not _is_alive(child)
    _wait_gone(grandchild)


def test_nothing_is_started_when_no_time_is_left(tmp_path: Path) -> None:
    """A half-done mkfs is worse than none."""
    with deadline(0), pytest.raises(DeadlineExceeded, match="waiting for touch"):
        run(["touch", tmp_path / "begun"])
    assert not (tmp_path / "begun").exists()


def test_daemon_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    """A FUSE helper ends and leaves its daemon, which holds the output open while it lives."""
    pid = tmp_path / "pid"
    leave = f"setsid sh -c 'echo $$ > {pid}; exec sleep {_LONG}' &"
    script = f"{leave} until [ -s {pid} ]; do :; done; echo ok"
    started = time.monotonic()
    with deadline(30):
        result = run(["sh", "-c", script])
    daemon = int(pid.read_text())
    try:
        assert time.monotonic() - started < 20
        assert result.stdout == "ok\n"
        assert _is_alive(daemon)
    finally:
        os.kill(daemon, 9)


def test_children_do_not_write_over_each_other() -> None:
    """What several processes print at the same time is all there."""
    script = "for i in 1 2 3 4 5 6 7 8; do seq -f 'line %.0f' 300 & done; wait"  # a page each
    for _ in range(5):
        lines = run(["sh", "-c", script]).stdout.splitlines()
        assert Counter(lines) == {f"line {number}": 8 for number in range(1, 301)}


def test_no_descriptor_is_left_open() -> None:
    """Thousands of commands later there are as many open files as before."""
    run(["true"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        run(["true"])
        with deadline(0.05), pytest.raises(DeadlineExceeded):
            run(["sleep", _LONG])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_many_threads_can_run_commands() -> None:
    """Each gets its own output."""
    seen: dict[int, str] = {}

    def note(number: int) -> None:
        seen[number] = run(["echo", str(number)]).stdout

    threads = [threading.Thread(target=note, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {number: f"{number}\n" for number in range(16)}


def test_child_is_not_in_our_process_group() -> None:
    """What kills the one, a terminal's Ctrl-C or a deadline, spares the other."""
    group = int(run(["sh", "-c", "cut -d' ' -f5 /proc/$$/stat"]).stdout)
    assert group != os.getpgid(0)


def test_words_arrive_as_they_are_by_any_way(tmp_path: Path) -> None:
    """A shell at the far end of ssh finds nothing in them to act on; others get them untouched."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')  # what sshd does with a command
    ssh.chmod(0o755)
    words = ("EXPORT(Export_Id=1)", "/(10.0.0.1|10.0.0.2),/v", "it's", "$HOME", "", "two words")
    argv = ("printf", "<%s>", *words)
    wanted = "".join(f"<{word}>" for word in words)
    for way in ((), ("env",), (str(ssh), "filer"), ("env", str(ssh), "filer")):
        assert run(by_way_of(way, argv)).stdout == wanted
