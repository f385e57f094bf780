"""The command line against a real socket: words, exit codes, and no traceback for a refusal."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.admin.operator import PaperService, application, serving, since
from volplug import cli
from volplug.catalog import Record, RecordState
from volplug.event import Entry, Event
from volplug.facts import Facts, Ways
from volplug.journal import Journal
from volplug.lease import Lease, LeaseState
from volplug.session import Silence
from volplug.volume import AccessMode
from volplug.why import answer


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read back."""
        return json.loads(self.out)


Volplug = Callable[..., Outcome]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a socket path in a directory of its own, as a plugin has one."""
    directory = tmp_path / "id"
    directory.mkdir()
    return directory / "v.sock"


@pytest.fixture
def volplug(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Volplug:
    """Run a command in this process, configured for the socket of the test."""
    (tmp_path / "empty.toml").touch()
    monkeypatch.setenv("VOLPLUG_CONFIG", str(tmp_path / "empty.toml"))
    monkeypatch.setenv("VOLPLUG_SOCKET", str(place))
    monkeypatch.setenv("VOLPLUG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: str) -> Outcome:
        try:
            code = cli.main(words)
        except SystemExit as end:
            code = int(str(end.code))
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def service(place: Path) -> Iterator[PaperService]:
    """Serve a volplug that knows nothing yet."""
    service = PaperService()
    with serving(application(service), place):
        yield service


def test_ls_as_table(volplug: Volplug, service: PaperService) -> None:
    """`ls` shows volumes in aligned columns, with what is not known as a dash."""
    service.add("data")
    service.add("a-longer-name", size="10G", access="shared")
    lines = volplug("ls", "--table").out.splitlines()
    assert lines == [
        "NAME           BACKEND  ACCESS         STATE  SIZE  NODES  MOUNTS  CREATED",
        "a-longer-name  local    shared         ready  10G   web1   2       3 minutes ago",
        "data           local    single-writer  ready  -     web1   2       3 minutes ago",
    ]


def test_json_when_nobody_watches(volplug: Volplug, service: PaperService) -> None:
    """Output that goes to a pipe is JSON, as with --json."""
    service.add("data")
    assert volplug("ls").json[0]["name"] == "data"
    assert volplug("ls").out == volplug("ls", "--json").out


def test_table_on_a_terminal(
    volplug: Volplug, service: PaperService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Output that goes to a terminal is a table, unless JSON is asked for."""
    service.add("data")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert volplug("ls").out.startswith("NAME")
    assert volplug("ls", "--json").json[0]["name"] == "data"


def test_a_narrow_terminal(
    volplug: Volplug, service: PaperService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COLUMNS bounds a table; what does not fit ends in an ellipsis."""
    service.add("a-name-of-rather-many-letters")
    monkeypatch.setenv("COLUMNS", "80")
    lines = volplug("ls", "--table").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" in lines[1]


def test_inspect(volplug: Volplug, service: PaperService) -> None:
    """`inspect` tells everything, nested facts indented below their names."""
    service.add("data")
    out = volplug("inspect", "data", "--table").out
    assert "options:\n  size: 10G\n" in out
    assert "place: /data\n" in out
    assert volplug("inspect", "data").json["options"] == {"size": "10G"}


def test_create_and_remove(volplug: Volplug, service: PaperService) -> None:
    """`create` and `rm` go the way of Docker's own calls."""
    created = volplug("create", "data", "-o", "size=10G", "-o", "access=a=b")
    assert (created.code, created.json) == (0, {"created": "data"})
    assert service.found["data"]["given"] == {"size": "10G", "access": "a=b"}
    assert volplug("rm", "data", "--table").out == "removed data\n"
    assert service.found == {}


def test_remove_of_nothing_is_refused(volplug: Volplug, service: PaperService) -> None:
    """A mistyped `rm` is told, although Docker's own Remove calls it success."""
    assert service.found == {}
    outcome = volplug("rm", "data")
    assert (outcome.code, outcome.out, outcome.err) == (
        1,
        "",
        "volplug: there is no volume 'data'\n",
    )


def test_expand(volplug: Volplug, service: PaperService) -> None:
    """`expand` hands over bytes, and is given the time that was configured."""
    service.add("data")
    assert volplug("expand", "data", "10G", "--table").out == "data has 10 GiB\n"
    assert service.found["data"]["size"] == 10 * 2**30
    assert service.remaining_s[0] <= 11


def test_leases(volplug: Volplug, service: PaperService) -> None:
    """`leases` says who may use what, since when, and whether the holder is heard of."""
    service.add("data")
    service.add("logs")
    assert volplug("leases", "--table").out.splitlines() == [
        "VOLUME  NODE  ACCESS         STATE   SINCE          TOKEN",
        "data    web1  single-writer  lapsed  3 minutes ago  7",
        "logs    web1  single-writer  lapsed  3 minutes ago  8",
    ]
    [one] = volplug("leases", "logs").json
    assert (one["volume"], one["token"], one["state"]) == ("logs", 8, "lapsed")
    assert one["since"].endswith("Z")


def test_snapshots(volplug: Volplug, service: PaperService) -> None:
    """A snapshot is taken, told with what it is worth, listed, and deleted."""
    service.add("data")
    taken = volplug("snapshot", "create", "data", "monday", "--table")
    assert taken.out == "data@monday (frozen): held still\n"
    assert service.remaining_s[-1] <= 11
    listed = volplug("snapshot", "ls", "data", "--table").out
    assert listed == "SNAPSHOT     TAKEN\ndata@monday  3 minutes ago\n"
    assert volplug("snapshot", "ls", "data", "--json").json[0]["snapshot"] == "data@monday"
    assert volplug("snapshot", "rm", "data", "monday").json == {"removed": "data@monday"}
    assert service.kept == []


def test_why(volplug: Volplug, service: PaperService) -> None:
    """`why` begins with the sentence of the refused Mount, and ends with the one thing to do."""
    lease = Lease("data", "web1", AccessMode.SINGLE_WRITER, 41, since(), LeaseState.LAPSED)
    record = Record("data", "gold", lease.access, {}, since(), state=RecordState.READY)
    facts = Facts(
        volume="data",
        node="web2",
        record=record,
        driver="loop",
        takeover=Ways(because="takeover is manual"),
        leases=(lease,),
        silences={41: Silence(since(), 185.0, 16.0)},
    )
    service.answers["data"] = answer(facts)
    lines = volplug("why", "data", "--table").out.splitlines()
    assert lines[0].startswith("volume 'data' is held by node 'web1' as single-writer since")
    assert lines[2:] == [
        (
            "held      by node 'web1' as single-writer since 3 minutes ago, lease 41, lapsed,"
            " silent for 185 s"
        ),
        "next      takeover is manual, so the lease waits for a person's word",
        "only once node 'web1' is switched off for certain",
        'do        volplug lease evict web1 --powered-off --reason "web1 was switched off at …"',
    ]
    assert volplug("why", "data").json["verdict"]["case"] == "lapsed"


def test_why_of_nothing(volplug: Volplug, service: PaperService) -> None:
    """A name that no volume has is an answer, too."""
    assert service.found == {}
    outcome = volplug("why", "data", "--table")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == "do        volplug ls"


def test_journal(volplug: Volplug, service: PaperService) -> None:
    """`journal` shows events of one volume or all, of late or ever, reasons in full."""
    service.entries = [
        Entry(at=since() - timedelta(days=2), event=Event.MOUNT, volume="logs", mount_id="c1"),
        Entry(at=since(), event=Event.CONDEMN, volume="data", node="web1", token=7, reason="off"),
    ]
    lines = volplug("journal", "--table").out.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "mount done volume=logs mount_id=c1",
        "condemn done volume=data node=web1 token=7 (off)",
    ]
    assert len(volplug("journal", "logs").json) == 1
    assert len(volplug("journal", "--since", "1h").json) == 1
    assert len(volplug("journal", "--since", f"{since() - timedelta(days=3):%FT%TZ}").json) == 2


def test_journal_of_a_volplug_that_does_not_run(volplug: Volplug, tmp_path: Path) -> None:
    """What happened is read from the files when nobody is there to ask."""
    Journal(tmp_path / "state" / "journal", node="web1").note(Event.SESSION_LOST, reason="why not")
    [entry] = volplug("journal").json
    assert (entry["event"], entry["node"], entry["reason"]) == ("session-lost", "web1", "why not")
    assert volplug("why", "data").code == 1


def test_lease_release(
    volplug: Volplug, service: PaperService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lease release` records the person behind sudo and the reason, and tells what was done."""
    service.add("data")
    monkeypatch.setenv("SUDO_USER", "ada")
    outcome = volplug("lease", "release", "data", "--reason", "it burnt down", "--table")
    assert outcome.out == "the lease of volume 'data' was taken from web1\n"
    [(name, by, reason)] = service.released
    assert (name, by.partition("@")[0], reason) == ("data", "ada", "it burnt down")
    assert service.remaining_s[0] <= 11


def test_lease_evict(
    volplug: Volplug, service: PaperService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lease evict` records the person and the reason; a node that is alive is refused."""
    monkeypatch.setenv("SUDO_USER", "ada")
    words = ("--powered-off", "--reason", "it burnt down", "--table")
    assert volplug("lease", "evict", "web2", *words).out == "freed 'data'\n"
    [(name, by, reason)] = service.membership.evicted
    assert (name, by.partition("@")[0], reason) == ("web2", "ada", "it burnt down")
    outcome = volplug("lease", "evict", "web1", *words)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "volplug: node 'web1' was heard of 0 s ago and may be writing\n"


def test_nodes_are_listed_and_forgotten(volplug: Volplug, service: PaperService) -> None:
    """`node ls` shows one a line, and `node forget` takes one off."""
    lines = volplug("node", "ls", "--table").out.splitlines()
    assert [line.split() for line in lines] == [
        ["NODE", "PRESENCE", "SILENT", "GUARD", "QUARANTINE", "LEASES", "LIFE"],
        ["web1", "alive", "0.5", "s", "1", "clean", "2", "3"],
        ["web2", "silent", "90", "s", "1", "clean", "2", "3"],
    ]
    assert volplug("node", "forget", "web2", "--table").out == "node 'web2' is forgotten\n"
    assert [one["node"] for one in volplug("node", "ls").json] == list(service.membership.silent)


def test_a_refused_release(volplug: Volplug, service: PaperService) -> None:
    """A refusal is one sentence on stderr, nothing on stdout, and exit code 1."""
    service.add("data")
    service.held = [replace(lease, state=LeaseState.LIVE) for lease in service.held]
    outcome = volplug("lease", "release", "data", "--reason", "impatience")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "volplug: volume 'data' is held by node 'web1', which is alive\n"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("lss",),
        ("lease",),
        ("lease", "release", "data"),
        ("snapshot", "create", "data"),
        ("lease", "evict", "web1", "--reason", "off"),
        ("node", "forget"),
        ("why",),
        ("journal", "--since", "yesterday"),
        ("create", "data", "-o", "size"),
        ("create", "data", "-o", "=10G"),
        ("expand", "data", "10X"),
        ("ls", "--json", "--table"),
    ],
)
def test_mistyped(words: tuple[str, ...], volplug: Volplug) -> None:
    """A mistake on the command line is exit code 2, with the usage."""
    outcome = volplug(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("usage: volplug")


def test_not_running(volplug: Volplug, place: Path) -> None:
    """Without a volplug there is one sentence: which socket, and how to start."""
    outcome = volplug("ls")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert f"not running at {place}: start it with `volplug serve`" in outcome.err


def test_a_stale_socket(volplug: Volplug, place: Path) -> None:
    """A socket file that nobody listens on any more is told in the same words."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    assert "volplug is not running at" in volplug("ls").err


def test_the_socket_of_a_managed_plugin(
    volplug: Volplug, service: PaperService, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the plugin's id, where Docker puts it, the socket is found without being named."""
    service.add("data")
    monkeypatch.setenv("VOLPLUG_SOCKET", str(place.parent.parent / place.name))
    assert volplug("ls").json[0]["name"] == "data"


def test_another_socket(volplug: Volplug, service: PaperService, place: Path) -> None:
    """--socket wins over what is configured."""
    service.add("data")
    moved = place.with_name("w.sock")
    moved.symlink_to(place)
    os.environ["VOLPLUG_SOCKET"] = "/nowhere"  # the fixture puts it back
    assert volplug("ls").code == 1
    assert volplug("ls", "--socket", str(moved)).json[0]["name"] == "data"


def test_a_path_too_long_for_a_socket(volplug: Volplug) -> None:
    """What the kernel refuses is told without a traceback."""
    outcome = volplug("ls", "--socket", "/tmp/" + "x" * 200)
    assert outcome.code == 1
    assert outcome.err.startswith("volplug: cannot speak to volplug at /tmp/xxx")


def test_a_connection_that_is_cut(volplug: Volplug, place: Path) -> None:
    """A server that dies before it answers is told, and that repeating is safe."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()

        def cut() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=cut)
        thread.start()
        outcome = volplug("ls")
        thread.join()
    assert outcome.code == 1
    assert "closed the connection without an answer" in outcome.err


def test_somebody_else_answers(volplug: Volplug, place: Path) -> None:
    """A web server that is no volplug is recognised."""
    with serving(Flask("other"), place):
        assert "is not a volplug that knows this command (HTTP 404)" in volplug("ls").err


def test_a_bug_in_the_server(volplug: Volplug, service: PaperService) -> None:
    """A bug behind the socket is an internal error to the client, whose words stay in the log."""
    service.failure = RuntimeError("secret-ish detail")
    outcome = volplug("ls")
    assert (outcome.code, outcome.err) == (
        1,
        "volplug: internal error; volplug's log has the traceback\n",
    )


def test_broken_configuration(volplug: Volplug, tmp_path: Path) -> None:
    """A mistake in volplug.toml is one sentence and exit code 1 for every command."""
    path = tmp_path / "volplug.toml"
    path.write_text("sockett = 1\n")
    outcome = volplug("ls", "--config", str(path))
    assert outcome.code == 1
    assert "did you mean 'socket'?" in outcome.err
    assert outcome.err.count("\n") == 1


def test_help_has_examples(volplug: Volplug) -> None:
    """`--help` shows commands to copy and what the exit codes mean."""
    outcome = volplug("--help")
    assert outcome.code == 0
    assert "volplug create data -o size=10G" in outcome.out
    assert "exit codes" in outcome.out


def test_a_reader_that_leaves(service: PaperService, place: Path) -> None:
    """`volplug ls | head -1` ends quietly, however much there is to print."""
    for number in range(3000):
        service.add(f"volume-{number}")
    command = f"{sys.executable} -m volplug.cli ls --socket {place} | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_asking_loads_only_what_it_takes() -> None:
    """`volplug ls` starts quickly: what a server needs, or the doctor, is not imported."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, volplug.cli; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    late = {"flask", "ctypes", "importlib.metadata", "volplug.admin.doctor", "volplug.registry"}
    assert late & set(done.stdout.split()) == set()


def test_doctor_asks_the_named_socket(
    volplug: Volplug, service: PaperService, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`doctor --socket` looks for a volplug there, also by a path from where one stands."""
    monkeypatch.setenv("VOLPLUG_SOCKET", "/nowhere/v.sock")
    monkeypatch.setenv("DOCKER_HOST", str(place.with_name("no-engine.sock")))
    assert service.found == {}
    monkeypatch.chdir(place.parent)
    for words in (str(place), place.name):
        states = {one["what"]: one["state"] for one in volplug("doctor", "--socket", words).json}
        assert states[f"volplug at {place}"] == "OK"
