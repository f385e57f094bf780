"""Options: text in, typed values out, every problem named at once, and no secret anywhere."""

import contextlib
import copy
import dataclasses
import enum
import json
import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volplug.errors import InvalidOptions
from volplug.options import (
    Mode,
    Secret,
    Size,
    describe,
    mentions,
    option,
    parse,
    parse_together,
)
from volplug.volume import AccessMode


class Colour(enum.Enum):
    """An enum whose values are text."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Everything:
    """One option of every kind."""

    size: Size = option(help="how large")
    name: str = option(help="text", default="")
    count: int = option(help="number", default=3, check=lambda n: n > 0, want="more than none")
    ratio: float = option(help="number", default=0.5)
    fast: bool = option(help="or not", default=False)
    place: Path = option(help="a path", default=Path("here"))
    fstype: Literal["ext4", "xfs"] = option(help="one of", default="ext4")
    colour: Colour = option(help="one of", default=Colour.RED)
    access: AccessMode = option(help="mode", default=AccessMode.SHARED)
    servers: tuple[str, ...] = option(help="list", default=())
    limit: Size | None = option(help="maybe", default=None)
    mode: Mode | None = option(help="bits", default=None)
    credential: Secret | None = option(help="secret", default=None)


@dataclass(frozen=True)
class Little:
    """Another dataclass, read out of the same mapping."""

    owner: str = option(help="who", default="root")


def _parse(**flat: Any) -> Everything:
    return parse(Everything, {"size": "1G", **flat}, what="volume 'x'")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0), ("1", 1), ("512", 512), ("1k", 2**10), ("1K", 2**10), ("1KB", 2**10),
        ("1KiB", 2**10), ("10G", 10 * 2**30), ("10 GiB", 10 * 2**30), ("1.5T", 3 * 2**39),
        ("0.5k", 512), ("2P", 2**51), (" 7M ", 7 * 2**20), ("9007199254740993", 2**53 + 1),
        ("0.1k", 102),
    ],
)  # fmt: skip
def test_size_is_read(text: str, size_bytes: int) -> None:
    """Units are powers of 1024, fractions round down, and no byte is lost on the way."""
    assert Size.parse(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "G", "-1", "+1", "1e9", "1.", ".5", "1,5G", "1GG", "1E", "ten", "nan", "1 0"]
)
def test_other_sizes_are_refused(text: str) -> None:
    """The refusal shows what a size looks like, and no size is ever guessed."""
    with pytest.raises(ValueError, match="such as 500M"):
        Size.parse(text)


@given(st.integers(0, 10**18 - 1))
def test_plain_bytes_are_read_exactly(size_bytes: int) -> None:
    """A stored number of bytes comes back as it was."""
    assert Size.parse(str(size_bytes)) == size_bytes


@given(st.integers(0, 999), st.sampled_from("KMGTP"))
def test_size_is_shown_as_it_can_be_written(number: int, unit: str) -> None:
    """What people read they can write again."""
    size = Size.parse(f"{number}{unit}")
    assert Size.parse(str(size)) == size


@given(st.text())
def test_size_is_read_or_refused(text: str) -> None:
    """Nothing but a ValueError comes of nonsense."""
    with contextlib.suppress(ValueError):
        assert Size.parse(text) >= 0


@given(st.integers(0, 0o7777))
def test_mode_round_trips(bits: int) -> None:
    """Permission bits are shown as chmod takes them."""
    assert Mode.parse(str(Mode(bits))) == bits


@pytest.mark.parametrize("text", ["", "8", "07", "0888", "0o755", "-755", "75500", "rwx", "755\n"])
def test_other_modes_are_refused(text: str) -> None:
    """Decimal numbers and letters are not taken for bits."""
    with pytest.raises(ValueError, match="octal"):
        Mode.parse(text)


def test_every_kind_is_read_from_text() -> None:
    """Docker hands over strings only."""
    parsed = _parse(
        name="n", count="7", ratio="0.25", fast="Yes", place="/srv", fstype="xfs", colour="blue",
        access="rwo", servers="a,b", limit="2G", mode="0750", credential="env:X",
    )  # fmt: skip
    assert parsed == Everything(
        Size(2**30), "n", 7, 0.25, True, Path("/srv"), "xfs", Colour.BLUE,
        AccessMode.SINGLE_WRITER, ("a", "b"), Size(2**31), Mode(0o750), Secret("env:X"),
    )  # fmt: skip


def test_toml_values_are_read_as_well() -> None:
    """A configuration file has numbers, booleans and lists."""
    parsed = _parse(count=7, ratio=1, fast=True, servers=["a,b", "c"], size=2**30)
    assert (parsed.count, parsed.ratio, parsed.fast) == (7, 1.0, True)
    assert parsed.servers == ("a,b", "c")


def test_empty_list_is_no_list_of_an_empty_text() -> None:
    """Nothing, written down, is nothing."""
    assert _parse(servers="").servers == ()
    assert _parse(servers=[]).servers == ()


def test_relative_paths_are_taken_below_the_base() -> None:
    """Given or by default; absolute ones stay."""
    base = Path("/var/lib/volplug")
    flat = {"size": "1G"}
    assert parse(Everything, flat, what="x", base=base).place == base / "here"
    assert parse(Everything, flat | {"place": "p"}, what="x", base=base).place == base / "p"
    assert parse(Everything, flat | {"place": "/p"}, what="x", base=base).place == Path("/p")


def test_all_problems_are_named_at_once() -> None:
    """One look at the refusal is enough to write it right."""
    with pytest.raises(InvalidOptions) as refusal:
        parse(
            Everything,
            {"sizee": "1G", "count": "0", "fast": "maybe", "fstype": "ntfs", "ratio": "x"},
            what="volume 'x'",
        )
    sentence = str(refusal.value)
    assert sentence.startswith("volume 'x': ")
    assert "unknown option 'sizee', did you mean 'size'? (known: access, colour, count" in sentence
    assert "option 'size' is missing: how large" in sentence
    assert "option 'count' is '0': wanted more than none" in sentence
    assert "option 'fast' is 'maybe': wanted true or false" in sentence
    assert "option 'fstype' is 'ntfs': wanted one of ext4, xfs" in sentence
    assert "option 'ratio' is 'x': wanted a number" in sentence


def test_several_dataclasses_share_one_mapping() -> None:
    """Each takes its own keys, and a key of none is refused with all that are known."""
    everything, little = parse_together(
        (Everything, Little), {"size": "1", "owner": "me"}, what="volume 'x'"
    )
    assert (everything.size, little.owner) == (1, "me")
    with pytest.raises(InvalidOptions, match="did you mean 'owner'"):
        parse_together((Everything, Little), {"size": "1", "owners": "me"}, what="volume 'x'")


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\0"])
@pytest.mark.parametrize("name", ["name", "place", "servers", "size", "fstype", "credential"])
def test_text_that_no_path_can_hold_is_refused(name: str, text: str) -> None:
    """NUL and broken characters end here, and not as a crash in a driver or the database."""
    with pytest.raises(InvalidOptions, match=f"option '{name}' is"):
        _parse(**{name: text})


_FIELDS = [field.name for field in dataclasses.fields(Everything)]
_VALUES = st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.text())


@given(st.dictionaries(st.sampled_from(_FIELDS) | st.text(), _VALUES))
def test_parse_gives_options_or_a_refusal(flat: dict[str, Any]) -> None:
    """Whatever users and configuration files hold, nothing else comes out."""
    try:
        parsed = parse(Everything, flat, what="volume 'x'")
    except InvalidOptions:
        return
    assert isinstance(parsed.size, Size)
    assert isinstance(parsed.count, int)


def test_options_are_described_for_people() -> None:
    """Every option is listed in its order, with its kind, its default and its help."""
    described = {one.name: one for one in describe(Everything)}
    assert list(described) == _FIELDS
    assert described["size"].required
    assert [one.name for one in described.values() if one.required] == ["size"]
    assert described["fast"].type == "true|false"
    assert described["fast"].default == "false"
    assert described["fstype"].type == "ext4|xfs"
    assert described["servers"].type == "list of text"
    assert described["limit"].type == "size"
    assert described["colour"].type == "red|blue"
    assert described["place"].default == "here"
    assert all(one.help for one in described.values())


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Secret:
    """Return a secret whose value is hunter2."""
    monkeypatch.setenv("VOLPLUG_TEST_SECRET", "hunter2")
    return Secret("env:VOLPLUG_TEST_SECRET")


def test_secret_is_revealed_on_purpose(secret: Secret, tmp_path: Path) -> None:
    """From the environment or from a file, whose last line's end is no part of it."""
    assert secret.reveal() == "hunter2"
    (tmp_path / "key").write_text("one\ntwo\n")
    assert Secret(f"file:{tmp_path / 'key'}").reveal() == "one\ntwo"


def test_secret_is_read_anew(tmp_path: Path) -> None:
    """A rotated secret needs no restart."""
    key = tmp_path / "key"
    key.write_text("old")
    secret = Secret(f"file:{key}")
    assert secret.reveal() == "old"
    key.write_text("new")
    assert secret.reveal() == "new"


def test_secret_never_shows(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the value nor where it is kept gets into text, by whatever way."""
    config = _parse(credential="env:VOLPLUG_TEST_SECRET")
    logging.getLogger("test").warning("secret=%s config=%r", secret, config)
    shown = [
        str(secret), repr(secret), f"{secret}", f"{secret!r}", f"{secret!s:>20}",
        f"{secret}", str([secret]), repr(config), str(dataclasses.asdict(config)),
        caplog.text, json.dumps(secret, default=str), str(copy.copy(secret)),
        str(copy.deepcopy(secret)), str(dir(secret)),
    ]  # fmt: skip
    for text in shown:
        assert "hunter2" not in text
        assert "VOLPLUG_TEST_SECRET" not in text


def test_secret_cannot_be_written_down() -> None:
    """Pickle and JSON refuse it, and so does whatever contains it."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(_parse(credential="env:X"), protocol)
    with pytest.raises(TypeError):
        json.dumps(dataclasses.asdict(_parse(credential="env:X")))


@pytest.mark.parametrize(
    "pasted", ["hunter2", "plain:hunter2", "hunter2:file:", "file:", "env:", ""]
)
def test_pasted_secret_is_refused_without_repeating_it(pasted: str) -> None:
    """Who writes the secret where its place belongs does not find it in the log as well."""
    with pytest.raises(InvalidOptions, match="wanted a reference") as refusal:
        _parse(credential=pasted)
    assert "hunter2" not in str(refusal.value)
    with pytest.raises(ValueError, match="wanted a reference"):
        Secret(pasted)


def test_missing_secret_is_told_by_its_place(tmp_path: Path) -> None:
    """The sentence names the reference, which is no secret."""
    for reference in ("env:VOLPLUG_NO_SUCH", f"file:{tmp_path / 'absent'}", f"file:{tmp_path}"):
        with pytest.raises(InvalidOptions, match=reference):
            Secret(reference).reveal()


def test_secret_that_is_no_text_does_not_show_either(tmp_path: Path) -> None:
    """Python's own error would carry the bytes."""
    (tmp_path / "key").write_bytes(b"hunter2\xff")
    with pytest.raises(InvalidOptions, match="is not text") as refusal:
        Secret(f"file:{tmp_path / 'key'}").reveal()
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


def test_secrets_are_compared_by_reference() -> None:
    """Two that stand for the same place are equal, without looking there."""
    assert Secret("env:A") == Secret("env:A")
    assert hash(Secret("env:A")) == hash(Secret("env:A"))
    assert Secret("env:A") != Secret("env:B")
    assert Secret("env:A") != "env:A"


@pytest.mark.parametrize(
    "kind", [Secret, Secret | None, tuple[Secret, ...], tuple[Secret, ...] | None]
)
def test_secret_is_found_inside_a_type(kind: Any) -> None:
    """However deep it stands, so that no driver can take one as a volume's option."""
    assert mentions(kind, Secret)
    assert not mentions(kind, Path)
