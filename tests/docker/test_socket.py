"""The front behind a real gunicorn: what clients see when they send what they really send."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.docker.conftest import Server, until
from tests.docker.plugin_client import (
    ENGINE_28_HEADERS,
    ENGINE_HEADERS,
    PODMAN_HEADERS,
    Connection,
    PluginClient,
)
from volplug.docker import wire

CLIENTS = {"engine20": ENGINE_HEADERS, "engine28": ENGINE_28_HEADERS, "podman": PODMAN_HEADERS}
PROMPT_S = 1.0  # what a Get may take here: it takes milliseconds, but the machine may be busy


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_is_understood_and_the_connection_closes(server: Server, client: str) -> None:
    """Whatever the Host and the Content-Type; keep-alive would cost bodies (rule 3)."""
    for call, body in (
        (wire.ACTIVATE, b""),
        (wire.CREATE, b'{"Name":"data","Opts":null}\n'),
        (wire.GET, b'{"Name":"data"}\n'),
        (wire.LIST, b"" if client == "podman" else b"{}\n"),
        (wire.MOUNT, b'{"Name":"data","ID":"c1"}\n'),
        (wire.UNMOUNT, b'{"Name":"data","ID":"c1"}\n'),
    ):
        reply = server.client.raw(call, body, headers=CLIENTS[client])
        assert reply is not None
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        assert not reply.json.get("Err")


@pytest.mark.parametrize(
    "host", ["", "Host: %2Frun%2Fx.sock\r\n", "Host: a b\r\n", "Host: [::\r\n"]
)
def test_any_host_will_do(server: Server, host: str) -> None:
    """Absent, an escaped path, or nothing that a host could be called (docker-contract 1.3)."""
    reply = server.client.raw(wire.CAPABILITIES, headers=host)
    assert reply is not None
    assert reply.json == {"Capabilities": {"Scope": "local"}}


def test_a_chunked_body_is_a_body(server: Server) -> None:
    """No client of today sends one; HTTP allows it."""
    head = f"POST {wire.CREATE} HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = server.connect()
    connection.socket.sendall(head.encode() + b'7\r\n{"Name"\r\n5\r\n:"v"}\r\n0\r\n\r\n')
    reply = connection.reply()
    assert reply is not None
    assert reply.json == {"Err": ""}
    assert server.volumes.asked() == [["create", "v", "{}"]]


def test_where_no_answer_is_right_the_connection_breaks(server: Server) -> None:
    """An empty Get, an unreadable store, a bug in Get: the engine keeps what it knows."""
    server.client.ask(wire.CREATE, Name="data")
    assert server.client.raw(wire.GET, b"") is None
    assert server.client.raw(wire.GET, b'{"Name":"bug"}') is None
    server.volumes.broken.touch()
    assert server.client.raw(wire.GET, b'{"Name":"data"}') is None
    server.volumes.broken.unlink()
    assert server.client.ask(wire.GET, Name="data")["Volume"]["Name"] == "data"


def test_a_retry_without_a_body_does_nothing(server: Server) -> None:
    """The engine's second Mount names no volume; the user is told to repeat."""
    reply = server.client.raw(wire.MOUNT, b"")
    assert reply is not None
    assert "repeat the command" in reply.json["Err"]


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"POST /VolumeDriver.Get HTTP/9.9\r\n\r\n",
        b"POST /VolumeDriver.Get HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /VolumeDriver.Get HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /VolumeDriver.Mount HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_no_page(server: Server, sent: bytes) -> None:
    """Nothing true can be said about a call that is not known."""
    connection = server.connect()
    connection.socket.sendall(sent)
    assert connection.reply() is None
    assert server.client.ask(wire.LIST)["Err"] == ""


def test_a_client_that_leaves_half_way_leaves_no_trace(server: Server) -> None:
    """Half a request is none, and an empty connection is how the engine tries the door (1.2)."""
    server.connect().socket.close()
    half = server.connect()
    half.socket.sendall(
        f'POST {wire.MOUNT} HTTP/1.1\r\nContent-Length: 99\r\n\r\n{{"Name":"data"}}'.encode()
    )
    half.socket.close()
    assert server.client.ask(wire.LIST)["Err"] == ""
    until(lambda: "middle of its request" in server.log.read_text())
    assert server.volumes.asked() == []
    assert "Traceback" not in server.log.read_text()


def test_a_mount_that_nobody_waits_for_is_undone(server: Server) -> None:
    """The engine would never mention its ID again (docker-contract rule 9)."""
    waiting = server.connect().send(wire.MOUNT, b'{"Name":"hang","ID":"gone"}')
    until(lambda: len(server.volumes.asked()) == 1)
    waiting.socket.close()
    server.volumes.gate.touch()
    until(lambda: server.volumes.asked()[1:] == [["unmount", "hang", "gone"]])


def test_a_client_that_only_ended_its_sending_gets_its_mount(server: Server) -> None:
    """A half-closed connection still has somebody at its other end."""
    waiting = server.connect().send(wire.MOUNT, b'{"Name":"hang","ID":"here"}')
    waiting.socket.shutdown(1)
    until(lambda: len(server.volumes.asked()) == 1)
    server.volumes.gate.touch()
    reply = waiting.reply()
    assert reply is not None
    assert reply.json == {"Mountpoint": str(server.root / "hang"), "Err": ""}
    assert len(server.volumes.asked()) == 1


def test_hanging_mounts_hold_up_nobody_else(server: Server) -> None:
    """With every slow place taken, Get and its kind answer in milliseconds, one more is refused."""
    server.client.ask(wire.CREATE, Name="data")
    body = b'{"Name":"hang-%d","ID":"c"}'
    waiting = [server.connect().send(wire.MOUNT, body % number) for number in range(56)]
    until(lambda: len(server.volumes.asked()) == 57)
    slowest = 0.0
    for _ in range(20):
        for call in (wire.GET, wire.LIST, wire.PATH, wire.CAPABILITIES, wire.ACTIVATE):
            begin = time.monotonic()
            assert not server.client.ask(call, Name="data").get("Err")
            slowest = max(slowest, time.monotonic() - begin)
    assert slowest < PROMPT_S
    assert server.client.ask(wire.UNMOUNT, Name="data", ID="c") == {"Err": ""}
    assert "56 volume operations" in server.client.ask(wire.MOUNT, Name="data", ID="c")["Err"]
    assert not any(connection.answered(0) for connection in waiting)
    server.volumes.gate.touch()
    for connection in waiting:
        reply = connection.reply()
        assert reply is not None
        assert reply.json["Err"] == ""


def test_a_client_that_does_not_close_holds_up_nobody(server: Server) -> None:
    """Five clients keep their answered connections open; the sixth is served at once."""
    idle = [server.connect().send(wire.LIST) for _ in range(5)]
    assert all(connection.answered(5) for connection in idle)
    begin = time.monotonic()
    server.client.ask(wire.LIST)
    assert time.monotonic() - begin < PROMPT_S
    for connection in idle:
        assert connection.reply() is not None


def test_concurrent_calls_do_not_mix(server: Server) -> None:
    """Each of many clients at once gets the answer to its own question."""

    def live(number: int) -> None:
        name, client = f"v{number}", PluginClient(server.client.path)
        for _ in range(5):
            assert client.ask(wire.CREATE, Name=name, Opts={"n": name}) == {"Err": ""}
            assert client.ask(wire.GET, Name=name)["Volume"]["Name"] == name
            assert client.ask(wire.MOUNT, Name=name, ID=name)["Mountpoint"].endswith(f"/{name}")
            assert client.ask(wire.UNMOUNT, Name=name, ID=name) == {"Err": ""}
            assert client.ask(wire.REMOVE, Name=name) == {"Err": ""}

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(live, range(24)))
    assert len(server.volumes.asked()) == 24 * 5 * 4
    assert threading.active_count() < 24


def test_each_log_record_is_one_line(server: Server) -> None:
    """Tracebacks too: the engine makes a record of every line (docker-contract 5.2)."""
    assert server.client.ask(wire.MOUNT, Name="bug", ID="c")["Err"].startswith("internal error")
    lines = server.log.read_text().splitlines()
    assert all(line[:4].isdigit() for line in lines)
    (traceback,) = [line for line in lines if "ZeroDivisionError" in line]
    assert " | " in traceback
    assert not any(wire.MOUNT in line for line in lines if line != traceback)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    call=st.sampled_from([wire.CREATE, wire.REMOVE, wire.MOUNT, wire.UNMOUNT, wire.GET, wire.LIST]),
    body=st.binary(max_size=60)
    | st.builds(
        lambda name, options: json.dumps({"Name": name, "ID": name, "Opts": options}).encode(),
        st.text(),
        st.dictionaries(st.text(), st.text()) | st.none(),
    ),
    client=st.sampled_from(sorted(CLIENTS)),
)
def test_any_body_gets_an_answer_or_none(
    server: Server, call: str, body: bytes, client: str
) -> None:
    """Always 200 and JSON; or a broken connection, to an empty Get."""
    reply = Connection(server.client.path).send(call, body, headers=CLIENTS[client]).reply()
    if reply is None:
        assert (call, body.strip()) == (wire.GET, b"")
    else:
        assert reply.status == 200
        assert "Err" in reply.json
