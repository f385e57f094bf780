"""A source is a value: it can be compared, stored, and read back on another node."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volplug.source import (
    Device,
    IscsiLun,
    LoopFile,
    NvmeSerial,
    ScsiWwid,
    Share,
    Source,
    from_json,
    to_json,
)

_texts = st.text(max_size=20)
_words = st.lists(_texts, max_size=3).map(tuple)
_paths = st.text(st.characters(exclude_characters="\0", codec="utf-8")).map(Path)
_identities = st.one_of(
    st.builds(NvmeSerial, _texts),
    st.builds(ScsiWwid, _texts),
    st.builds(IscsiLun, _words, _texts, st.integers(0), _texts),
    st.builds(LoopFile, _paths),
)
_sources = st.one_of(
    st.builds(Share, _texts, _texts, _words),
    st.builds(Device, _identities, _texts, _words, st.integers(0)),
)


@given(_sources)
def test_source_is_read_back_as_it_was(source: Source) -> None:
    """Every kind, with every kind of identity, survives being written down."""
    assert from_json(to_json(source)) == source


@given(_sources)
def test_source_is_written_on_one_line(source: Source) -> None:
    """The text can stand in a record, a log or a CSI context."""
    assert to_json(source).isascii()
    assert "\n" not in to_json(source)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "null", "5", "[]", "{}", '"Share"', '{"kind": "Share"}',
        '{"kind": "Share", "mount_options": []}',
        '{"kind": "Share", "fstype": "nfs", "source": "a:/b", "mount_options": [], "more": 1}',
        '{"kind": "Tape", "mount_options": []}',
        '{"kind": "Device", "fstype": "ext4", "mount_options": [], "size_bytes": 0}',
        '{"kind": "Device", "identity": null, "fstype": "ext4", "mount_options": []}',
        '{"kind": "Device", "identity": {"kind": "Name"}, "fstype": "x", "mount_options": []}',
        '{"kind": "Device", "identity": {"kind": "LoopFile"}, "fstype": "x", "mount_options": []}',
    ],
)  # fmt: skip
def test_anything_else_is_a_value_error(text: str) -> None:
    """A damaged record is told as such, whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str))
def test_garbage_never_crashes(text: str) -> None:
    """Reading gives a source or a ValueError."""
    try:
        from_json(text)
    except ValueError:
        return
    raise AssertionError(f"{text!r} is no source")
