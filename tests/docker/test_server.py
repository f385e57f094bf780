"""The life of the server: start, refusal, signals, sudden deaths, inherited sockets."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker.conftest import REPOSITORY, Server, until
from tests.docker.plugin_client import Connection
from volplug.docker import wire
from volplug.docker.listener import listen
from volplug.errors import HostError, InvalidOptions

Start = Callable[..., Server]

SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "tests.docker.fake_server", sys.argv[2]])
"""


def alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_it_listens_soon_and_only_for_its_owner(server: Server) -> None:
    """Dialable long before the engine gives up (rule 6); nobody else may open the socket."""
    assert time.monotonic() - server.started_at < 30
    assert (server.root / "v.sock").stat().st_mode & 0o777 == 0o600


def test_sigterm_ends_it_in_order(server: Server) -> None:
    """Exit code 0, the socket gone, the application closed, and back in the caller."""
    server.client.ask(wire.LIST)
    server.process.terminate()
    assert server.process.wait(10) == 0
    assert not (server.root / "v.sock").exists()
    assert (server.root / "closed").exists()
    assert (server.root / "returned").read_text() == f"{server.process.pid}\n"


def test_sigterm_ends_it_in_ten_seconds_whatever_hangs(server: Server) -> None:
    """The engine kills after ten (docker-contract 5.2); the application is closed before."""
    hanging = [
        server.connect().send(wire.MOUNT, b'{"Name":"hang%d","ID":"c"}' % number)
        for number in range(5)
    ]
    until(lambda: len(server.volumes.asked()) == 5)
    worker, begin = server.worker, time.monotonic()
    server.process.terminate()
    assert server.process.wait(15) == 0
    assert time.monotonic() - begin < 10
    assert not alive(worker)
    assert (server.root / "closed").exists()
    assert all(connection.reply() is None for connection in hanging)


def test_sigterm_lets_calls_in_flight_finish(server: Server) -> None:
    """What was begun before the signal is answered if it ends soon."""
    waiting = server.connect().send(wire.MOUNT, b'{"Name":"hang","ID":"c"}')
    until(lambda: len(server.volumes.asked()) == 1)
    server.process.terminate()
    until(lambda: not (server.root / "v.sock").exists())
    server.volumes.gate.touch()
    reply = waiting.reply()
    assert reply is not None
    assert reply.json["Err"] == ""
    assert server.process.wait(10) == 0


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGWINCH"])
def test_signals_for_a_second_worker_change_nothing(server: Server, name: str) -> None:
    """The store has one owner; a terminal's hang-up, sent to all, ends nobody."""
    server.client.ask(wire.LIST)  # so that the worker is up
    worker = server.worker
    server.client.ask(wire.LIST)
    os.killpg(server.process.pid, getattr(signal, name))
    until(lambda: "Signal ignored" in server.log.read_text())
    server.client.ask(wire.LIST)
    assert server.worker == worker
    assert alive(worker)


def test_a_dying_worker_costs_its_own_request_only(server: Server) -> None:
    """The socket stays bound; the next request waits for the next worker and is answered whole."""
    server.client.ask(wire.LIST)  # so that the worker is up
    worker, inode = server.worker, (server.root / "v.sock").stat().st_ino
    server.volumes.gate.touch()
    assert server.client.raw(wire.MOUNT, b'{"Name":"die","ID":"c"}') is None
    assert server.client.ask(wire.MOUNT, Name="data", ID="c")["Err"] == ""
    assert server.worker != worker
    assert (server.root / "v.sock").stat().st_ino == inode


def test_clients_wait_while_the_worker_is_away(server: Server) -> None:
    """Connections that come in meanwhile stand in the backlog, bodies and all."""
    server.client.ask(wire.LIST)  # so that the worker is up
    os.kill(server.process.pid, signal.SIGSTOP)  # so that no new worker can come too soon
    os.kill(server.worker, signal.SIGKILL)
    until(lambda: not alive(server.worker))
    waiting = [server.connect().send(wire.MOUNT, b'{"Name":"v","ID":"c"}') for _ in range(40)]
    assert not any(connection.answered(0) for connection in waiting)
    os.kill(server.process.pid, signal.SIGCONT)
    for connection in waiting:
        reply = connection.reply()
        assert reply is not None
        assert reply.json["Err"] == ""


def test_the_worker_dies_with_its_master(start: Start, server: Server) -> None:
    """At once, hung calls and all; and the socket file that is left behind is no obstacle."""
    hanging = server.connect().send(wire.MOUNT, b'{"Name":"hang","ID":"c"}')
    until(lambda: len(server.volumes.asked()) == 1)
    worker = server.worker
    server.process.kill()
    server.process.wait(10)
    until(lambda: not alive(worker), 2)
    assert hanging.reply() is None
    assert (server.root / "v.sock").exists()
    (server.root / "ready").unlink()
    successor = start()
    until(successor.listening)
    assert successor.client.ask(wire.LIST)["Err"] == ""


def test_a_refusal_to_start_is_one_sentence_and_an_end(start: Start, tmp_path: Path) -> None:
    """No traceback, no second attempt, a failing exit code, no socket left behind."""
    (tmp_path / "refuse").touch()
    server = start()
    assert server.process.wait(10) == 1
    log = server.log.read_text()
    assert log.count("the state directory is in use by another agent") == 1
    assert log.count("Booting worker") == 1
    assert "Traceback" not in log
    assert not (tmp_path / "v.sock").exists()
    assert not (tmp_path / "closed").exists()


def test_a_bug_at_the_start_is_an_end_too(start: Start, tmp_path: Path) -> None:
    """With its traceback, in one line."""
    (tmp_path / "crash").touch()
    server = start()
    assert server.process.wait(10) == 1
    (line,) = [line for line in server.log.read_text().splitlines() if "Traceback" in line]
    assert "ZeroDivisionError" in line
    assert server.log.read_text().count("Booting worker") == 1


def test_a_second_server_is_refused(server: Server) -> None:
    """The first goes on; the second says in a sentence what is in its way."""
    with pytest.raises(HostError, match="another server is listening"):
        listen(server.root / "v.sock")
    assert server.client.ask(wire.LIST)["Err"] == ""


def test_a_socket_path_has_a_limit(tmp_path: Path) -> None:
    """107 bytes work, 108 are refused by a sentence instead of by the kernel."""
    room = 107 - len(os.fsencode(tmp_path)) - 1
    if room < 1:
        pytest.skip(f"the temporary directory {tmp_path} is too deep for any socket")
    fitting = listen(tmp_path / ("s" * room))
    os.close(fitting.fd)
    with pytest.raises(InvalidOptions, match="has 108 bytes and the kernel allows 107"):
        listen(tmp_path / ("s" * (room + 1)))


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    """Only a dead socket is replaced."""
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InvalidOptions, match="is not a socket"):
        listen(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


def test_the_directory_is_made(tmp_path: Path) -> None:
    """A plugin may start before the engine made its plugin directory; modes are as asked."""
    listener = listen(tmp_path / "docker" / "plugins" / "v.sock", 0o660)
    assert listener.path.stat().st_mode & 0o777 == 0o660
    os.close(listener.fd)


def test_a_successors_socket_is_left_alone(tmp_path: Path) -> None:
    """A server that ends takes only its own file with it; a missing one is no trouble."""
    first = listen(tmp_path / "v.sock")
    first.path.unlink()
    first.unlink()
    second = listen(tmp_path / "v.sock")
    if second.inode != first.inode:
        first.unlink()
        assert second.path.exists()
    os.close(first.fd)
    os.close(second.fd)


def test_systemd_may_own_the_socket(tmp_path: Path) -> None:
    """An inherited socket is served, a request that came before the start too, and it stays."""
    path = tmp_path / "v.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as owner:
        owner.bind(str(path))
        owner.listen(16)
        early = Connection(path).send(wire.LIST)
        process = subprocess.Popen(
            [sys.executable, "-c", SYSTEMD, str(owner.fileno()), str(tmp_path)],
            cwd=REPOSITORY,
            pass_fds=[owner.fileno()],
            env={**os.environ, "VOLPLUG_TEST_SOCKET": str(tmp_path / "unused.sock")},
        )
        try:
            reply = early.reply()
            assert reply is not None
            assert reply.json == {"Volumes": [], "Err": ""}
            assert not (tmp_path / "unused.sock").exists()
        finally:
            process.terminate()
            assert process.wait(10) == 0
        assert path.exists()
