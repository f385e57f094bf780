"""The protocol's words: what is read from any body, and what is never written."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volplug.docker import wire
from volplug.errors import InvalidOptions
from volplug.listing import Listing

RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
)
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _offset(minutes: int) -> timezone:
    return timezone(timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", wire.Question()),
        (b"\n", wire.Question()),
        (b"{}", wire.Question()),
        (b"null", wire.Question()),
        (b'{"Name":"v","Opts":null}\n', wire.Question("v")),
        (b'{"Name":null,"ID":null,"Opts":{"a":null}}', wire.Question(options={"a": ""})),
        (b'{"Name":"v","ID":"i","Opts":{"":""}}', wire.Question("v", "i", {"": ""})),
        (b'{"nAME":"v","id":"i","OPTS":{"K":"1"}}', wire.Question("v", "i", {"K": "1"})),
        (b'{"Name":"v","Labels":{"a":[1]},"x":NOT}'.replace(b"NOT", b"0"), wire.Question("v")),
        (b'{"Name":"a\xffb"}', wire.Question("a\ufffdb")),
        (b'{"Name":"a\\ud800b\\ud83d\\ude00"}', wire.Question("a\ufffdb\N{GRINNING FACE}")),
    ],
)
def test_reads_bodies_as_go_does(body: bytes, expected: wire.Question) -> None:
    """Absent and null are empty, keys match in any case, broken text is mended."""
    assert wire.parse(body) == expected


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "not JSON"),
        (b"[]", "array"),
        (b'"v"', "string"),
        (b"7", "number"),
        (b"true", "boolean"),
        (b'{"Name":NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"x":' * 50_000, "not JSON"),
        (b"9" * 5000, "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"Name":1}', "Name must be a string"),
        (b'{"Name":["v"]}', "Name must be a string"),
        (b'{"ID":{}}', "ID must be a string"),
        (b'{"Opts":"a=b"}', "Opts must be an object of strings"),
        (b'{"Opts":{"size":10}}', "option 'size' must be a string, and is a JSON number"),
        (b'{"Opts":{"size":"\\u0000"}}', "NUL"),
        (b'{"Opts":{"\\u0000":""}}', "NUL"),
    ],
)
def test_refuses_other_bodies_in_words(body: bytes, word: str) -> None:
    """What is not a question is refused by a sentence that names the trouble."""
    with pytest.raises(InvalidOptions, match=re.escape(word)):
        wire.parse(body)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_reads_or_refuses_any_bytes(body: bytes) -> None:
    """No bytes raise anything but InvalidOptions."""
    with suppress(InvalidOptions):
        wire.parse(body)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_reads_or_refuses_any_fields(value: object) -> None:
    """No JSON value of a field raises anything but InvalidOptions, and text stays encodable."""
    for key in ("Name", "ID", "Opts"):
        try:
            question = wire.parse(json.dumps({key: value}).encode())
        except InvalidOptions:
            continue
        question.name.encode()
        question.mount_id.encode()


@given(st.datetimes(timezones=st.integers(-1439, 1439).map(_offset)))
def test_dates_are_rfc_3339_in_utc(moment: datetime) -> None:
    """A date is written so that a strict parser reads back the very moment, or is left out."""
    shown = str(_volume(Listing("v", moment, None, {})).get("CreatedAt", ""))
    if not shown:
        assert moment.year in {1, 9999}
        return
    match = RFC_3339.fullmatch(shown)
    assert match
    assert match[8] == "Z"
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    fraction = round(float(match[7] or 0) * 1_000_000)
    assert datetime(year, month, day, hour, minute, second, fraction, UTC) == moment


def test_a_date_without_a_zone_is_left_out() -> None:
    """A naive date would make the engine forget the volume; an absent one does not."""
    assert "CreatedAt" not in _volume(Listing("v", MOMENT.replace(tzinfo=None), None, {}))


def test_a_number_that_json_lacks_becomes_text() -> None:
    """NaN in a status would make the whole answer unreadable to the engine."""
    status = {"a": float("nan"), "b": float("inf"), "c": 1.5, "d": None, "e": True}
    shown = _volume(Listing("v", MOMENT, None, status))["Status"]
    assert shown == {"a": "nan", "b": "inf", "c": 1.5, "d": None, "e": True}


def test_a_mountpoint_is_shown_only_while_mounted() -> None:
    """Absent while not mounted, in Get; empty, in Path."""
    there, nowhere = (Listing("v", MOMENT, path, {}) for path in (Path("/m/v"), None))
    assert _volume(there)["Mountpoint"] == "/m/v"
    assert "Mountpoint" not in _volume(nowhere)
    assert wire.path(there) == {"Mountpoint": "/m/v", "Err": ""}
    assert wire.path(nowhere) == {"Mountpoint": "", "Err": ""}


def test_a_volume_has_the_name_that_was_asked() -> None:
    """Another name would be filed as another volume by the engine."""
    assert _volume(Listing("other", MOMENT, None, {}), "v")["Name"] == "v"


@pytest.mark.parametrize("bad", ["", ".", "data", "/", "//", "/a/../b", "/a\0b"])
def test_only_a_plain_absolute_directory_is_handed_out(bad: str) -> None:
    """Anything else would give the container a directory that is not the volume."""
    with pytest.raises(ValueError, match="mountpoint"):
        wire.mounted(Path(bad))


def test_a_refusal_is_never_empty() -> None:
    """An empty Err means success."""
    assert wire.refused(InvalidOptions(" ")) == {"Err": "InvalidOptions"}


@pytest.mark.parametrize("bad", ["x" * 257, "a\nb", "\0", "\ud800"])
def test_mount_ids_can_be_stored(bad: str) -> None:
    """An ID is short and printable; the empty one of dvdcli passes."""
    assert wire.check_mount_id("") == ""
    with pytest.raises(InvalidOptions, match="mount ID"):
        wire.check_mount_id(bad)


def _volume(listing: Listing, name: str = "v") -> dict[str, object]:
    answer = json.loads(wire.encode(wire.volume(name, listing)))
    assert answer["Err"] == ""
    volume: dict[str, object] = answer["Volume"]
    return volume
