"""The front's rules, in process: each call, each refusal, each broken connection."""

import json
import logging
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.docker.fake_volumes import FakeVolumes
from volplug.docker import create_app, wire

CALLS = [
    wire.ACTIVATE,
    wire.CREATE,
    wire.REMOVE,
    wire.MOUNT,
    wire.UNMOUNT,
    wire.PATH,
    wire.GET,
    wire.LIST,
    wire.CAPABILITIES,
]
HOSTILE = ["../../evil", ".", "..", "a/b", "a b", "-x", "a%2Fb", "nl\nx", "é", "x" * 3000, "a\0b"]


def ask(app: FlaskClient, call: str, **fields: object) -> dict[str, Any]:
    """Send a JSON object and return the one that must come back, with 200."""
    response = app.post(call, data=json.dumps(fields))
    assert response.status_code == 200
    answer = json.loads(response.data)
    assert isinstance(answer, dict)
    return answer


def post_to(app: FlaskClient, path: str, body: bytes) -> TestResponse:
    """Send a body to exactly this path, with no client's idea of a URL in between."""
    wsgi_path = path.encode().decode("latin-1")  # as PEP 3333 wants it
    return app.post("/", data=body, environ_overrides={"PATH_INFO": wsgi_path})


def test_a_volume_from_create_to_remove(app: FlaskClient, volumes: FakeVolumes) -> None:
    """Every call does what its name says, and answers what the engine reads."""
    assert ask(app, wire.ACTIVATE) == {"Implements": ["VolumeDriver"]}
    assert ask(app, wire.CAPABILITIES) == {"Capabilities": {"Scope": "local"}}
    assert ask(app, wire.GET, Name="data") == {"Err": "no such volume: data"}
    assert ask(app, wire.CREATE, Name="data", Opts={"size": "1g"}) == {"Err": ""}
    shown = {
        "Name": "data",
        "Mountpoint": str(volumes.root / "data"),
        "CreatedAt": "2026-01-02T03:04:05.000678Z",
        "Status": {"backend": "fake", "weight": 1.5},
    }
    assert ask(app, wire.GET, Name="data") == {"Volume": shown, "Err": ""}
    assert ask(app, wire.LIST) == {"Volumes": [shown], "Err": ""}
    there = {"Mountpoint": shown["Mountpoint"], "Err": ""}
    assert ask(app, wire.MOUNT, Name="data", ID="i1") == there
    assert ask(app, wire.PATH, Name="data") == there
    assert ask(app, wire.UNMOUNT, Name="data", ID="i1") == {"Err": ""}
    assert ask(app, wire.REMOVE, Name="data") == {"Err": ""}
    assert ask(app, wire.LIST) == {"Volumes": [], "Err": ""}
    assert volumes.asked() == [
        ["activated"],
        ["create", "data", '{"size": "1g"}'],
        ["mount", "data", "i1", "25"],
        ["unmount", "data", "i1"],
        ["remove", "data"],
    ]


def test_scope_is_what_was_configured(volumes: FakeVolumes) -> None:
    """Capabilities is constant and needs no volumes."""
    app = create_app(volumes, scope="global").test_client()
    assert ask(app, wire.CAPABILITIES) == {"Capabilities": {"Scope": "global"}}


def test_mount_gets_the_configured_deadline(volumes: FakeVolumes) -> None:
    """The deadline that was set outside is what the work inside sees."""
    app = create_app(volumes, deadline_s=110).test_client()
    ask(app, wire.MOUNT, Name="data", ID="i")
    assert volumes.asked() == [["mount", "data", "i", "110"]]


@pytest.mark.parametrize(
    "content_type", [None, "text/html", "application/json", "x", "a/b; c=\xff"]
)
def test_any_content_type_will_do(app: FlaskClient, content_type: str | None) -> None:
    """The engine sends none, Podman one of its own (docker-contract 0.3)."""
    response = app.post(wire.CREATE, data=b'{"Name":"v","Opts":null}\n', content_type=content_type)
    assert (response.status_code, response.json) == (200, {"Err": ""})


def test_a_mount_without_an_id_has_an_empty_one(app: FlaskClient, volumes: FakeVolumes) -> None:
    """The client dvdcli sends no ID key (orchestrators 6)."""
    ask(app, wire.MOUNT, Name="data")
    ask(app, wire.UNMOUNT, Name="data")
    assert volumes.asked() == [["mount", "data", "", "25"], ["unmount", "data", ""]]


@pytest.mark.parametrize("call", [wire.CREATE, wire.REMOVE, wire.MOUNT, wire.UNMOUNT, wire.PATH])
@pytest.mark.parametrize("body", [b"", b"\n"])
def test_a_call_without_its_body_is_refused(
    app: FlaskClient, volumes: FakeVolumes, call: str, body: bytes
) -> None:
    """The engine's retries have no body; nothing may be done for no volume (moby#39331)."""
    response = app.post(call, data=body)
    assert response.status_code == 200
    assert "without a body" in json.loads(response.data)["Err"]
    assert volumes.asked() == []


def test_a_get_without_its_body_gets_no_answer(app: FlaskClient) -> None:
    """An error would make the engine forget the volume that it meant."""
    response = app.post(wire.GET)
    assert (response.status_code, response.data) == (503, b"")


@pytest.mark.parametrize("call", [wire.ACTIVATE, wire.LIST, wire.CAPABILITIES])
def test_calls_about_no_volume_need_no_body(app: FlaskClient, call: str) -> None:
    """Podman sends none with List, nobody with Activate."""
    answer = json.loads(app.post(call).data)
    assert not answer.get("Err")


def test_get_of_the_empty_name_finds_nothing(app: FlaskClient) -> None:
    """It occurs at engine starts, with a body (docker-contract rule 5)."""
    assert ask(app, wire.GET, Name="") == {"Err": "no such volume: "}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_get_no_further_than_the_front(
    app: FlaskClient, volumes: FakeVolumes, name: str
) -> None:
    """Refused where a volume would come to be; elsewhere, such a volume just does not exist."""
    for call in (wire.CREATE, wire.MOUNT):
        assert "volume name" in ask(app, call, Name=name, ID="i")["Err"]
    for call in (wire.GET, wire.PATH):
        assert ask(app, call, Name=name)["Err"].startswith("no such volume")
    for call in (wire.REMOVE, wire.UNMOUNT):
        assert ask(app, call, Name=name, ID="i") == {"Err": ""}
    assert volumes.asked() == []


def test_anonymous_names_pass(app: FlaskClient) -> None:
    """64 hexadecimal digits are a name."""
    assert ask(app, wire.CREATE, Name="0a" * 32, Opts={}) == {"Err": ""}


def test_an_odd_mount_id_is_refused_but_its_unmount_is_not(
    app: FlaskClient, volumes: FakeVolumes
) -> None:
    """An Unmount never fails for what nobody can know (docker-contract rule 23)."""
    assert "mount ID" in ask(app, wire.MOUNT, Name="data", ID="x" * 300)["Err"]
    assert ask(app, wire.UNMOUNT, Name="data", ID="x" * 300) == {"Err": ""}
    assert volumes.asked() == [["unmount", "data", "x" * 300]]


@pytest.mark.parametrize("name", ["nowhere", "relative", "rootdir", "dots"])
def test_a_mountpoint_that_is_none_is_never_handed_out(
    app: FlaskClient, volumes: FakeVolumes, name: str
) -> None:
    """An empty one would give the container the engine's own directory (0.5); it is undone."""
    answer = ask(app, wire.MOUNT, Name=name, ID="i")
    assert answer["Err"].startswith("internal error ")
    assert "Mountpoint" not in answer
    assert [words[0] for words in volumes.asked()] == ["mount", "unmount"]


def test_a_refusal_keeps_its_words(app: FlaskClient) -> None:
    """The sentence is the user's; an error without one still is not a success."""
    assert ask(app, wire.MOUNT, Name="held", ID="i") == {
        "Err": "volume held is used by node b since noon: stop it there"
    }
    assert ask(app, wire.MOUNT, Name="silent", ID="i") == {"Err": "HeldElsewhere"}
    ask(app, wire.CREATE, Name="data", Opts={"a": "1"})
    assert "other options" in ask(app, wire.CREATE, Name="data", Opts={"a": "2"})["Err"]


def test_a_bug_is_logged_once_and_not_told(
    app: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The user gets a number that leads to the traceback in the log."""
    with caplog.at_level(logging.INFO):
        err = ask(app, wire.MOUNT, Name="bug", ID="i")["Err"]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info
    number = record.getMessage().split()[-1]
    assert err == f"internal error {number}: the plugin's log tells more"


def test_a_get_that_cannot_know_gets_no_answer(app: FlaskClient, volumes: FakeVolumes) -> None:
    """Neither an unreadable store nor a bug is "no such volume" (docker-contract rule 11)."""
    ask(app, wire.CREATE, Name="data")
    assert app.post(wire.GET, data=b'{"Name":"bug"}').status_code == 503
    volumes.broken.touch()
    assert app.post(wire.GET, data=b'{"Name":"data"}').status_code == 503
    assert ask(app, wire.LIST) == {"Err": "the store cannot be read"}
    assert ask(app, wire.PATH, Name="data") == {"Err": "the store cannot be read"}
    assert ask(app, wire.ACTIVATE) == {"Implements": ["VolumeDriver"]}
    volumes.broken.unlink()
    assert ask(app, wire.GET, Name="data")["Volume"]["Name"] == "data"


def test_an_odd_record_does_not_spoil_a_listing(app: FlaskClient) -> None:
    """What cannot be shown of one volume is left out, and no volume is (rule 13)."""
    ask(app, wire.CREATE, Name="odd")
    ask(app, wire.CREATE, Name="well")
    odd, well = ask(app, wire.LIST)["Volumes"]
    assert odd == {"Name": "odd", "Status": {"backend": "fake", "weight": "nan"}}
    assert well["CreatedAt"]


def test_unknown_volumes_are_quiet(app: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Engines probe for every name they meet (rule 15)."""
    with caplog.at_level(logging.DEBUG, "volplug"):
        ask(app, wire.GET, Name="probe")
    assert caplog.records == []


def test_slow_calls_have_a_limit(volumes: FakeVolumes) -> None:
    """Above it they are refused as busy, at once; Unmount, Get and List never are."""
    app = create_app(volumes, slow_calls=0).test_client()
    for call in (wire.CREATE, wire.MOUNT, wire.REMOVE):
        assert "volume operations" in ask(app, call, Name="data", ID="i")["Err"]
    assert ask(app, wire.UNMOUNT, Name="data", ID="i") == {"Err": ""}
    assert ask(app, wire.LIST) == {"Volumes": [], "Err": ""}


def test_a_turn_is_given_back(volumes: FakeVolumes) -> None:
    """Success, refusal and bug alike."""
    app = create_app(volumes, slow_calls=1).test_client()
    for name in ("held", "bug", "rootdir", "data", "data"):
        assert "volume operations" not in ask(app, wire.MOUNT, Name=name, ID="i")["Err"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY"])
@pytest.mark.parametrize("path", [wire.GET, wire.LIST, "/", "/x"])
def test_other_methods_are_answered_in_json(app: FlaskClient, method: str, path: str) -> None:
    """Nothing the engine could send gets an HTML page (rule 2)."""
    response = app.open(path, method=method)
    assert response.status_code == 200
    assert "is no call of this plugin" in json.loads(response.data)["Err"]


@pytest.mark.parametrize(
    "path",
    ["/", "/VolumeDriver.Get//", "/VolumeDriver.Get/", "/volumedriver.get", "/%00", "/é?a=b"],
)
def test_other_paths_are_answered_in_json(app: FlaskClient, path: str) -> None:
    """Nor a redirect."""
    response = post_to(app, path, b'{"Name":"v"}')
    assert response.status_code == 200
    assert "is no call of this plugin" in json.loads(response.data)["Err"]


def test_a_body_may_be_large_but_not_huge(app: FlaskClient) -> None:
    """Options may fill a mebibyte; more is refused in words."""
    rest = wire.BODY_MAX_BYTES - len(b'{"Name":"v","Opts":{"a":""}}')
    fitting = b'{"Name":"v","Opts":{"a":"%s"}}' % (b"x" * rest)
    assert json.loads(app.post(wire.CREATE, data=fitting).data) == {"Err": ""}
    huge = json.loads(app.post(wire.CREATE, data=fitting + b" ").data)
    assert "larger than 1048576 bytes" in huge["Err"]


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(CALLS) | st.text(max_size=20).map(lambda text: "/" + text),
    body=st.binary(max_size=100)
    | st.builds(
        lambda name, mount_id, options: json.dumps(
            {"Name": name, "ID": mount_id, "Opts": options}
        ).encode(),
        st.text() | st.sampled_from(HOSTILE) | st.integers(),
        st.text() | st.none(),
        st.dictionaries(st.text(), st.text() | st.integers()) | st.none() | st.lists(st.text()),
    ),
)
def test_anything_gets_an_answer_or_none(
    app: FlaskClient, volumes: FakeVolumes, path: str, body: bytes
) -> None:
    """Always 200 and a JSON object with the keys of its call; or no answer, to an empty Get."""
    response = post_to(app, path, body)
    if response.status_code == 503:
        assert (path, body.strip(), response.data) == (wire.GET, b"", b"")
        return
    assert response.status_code == 200
    answer = json.loads(response.data)
    expected = {
        wire.ACTIVATE: {"Implements"},
        wire.MOUNT: {"Mountpoint", "Err"},
        wire.PATH: {"Mountpoint", "Err"},
        wire.GET: {"Volume", "Err"},
        wire.LIST: {"Volumes", "Err"},
        wire.CAPABILITIES: {"Capabilities"},
    }.get(path, {"Err"})
    if answer.get("Err"):
        assert set(answer) == {"Err"}
    else:
        assert path in CALLS
        assert set(answer) == expected
    volumes.diary.write_text("")
