"""Names, and the four access modes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volplug.errors import InvalidOptions
from volplug.volume import AccessMode, check_name


@pytest.mark.parametrize("name", ["a", "0", "db-data", "A.b_c-9", "x" * 128])
def test_sensible_names_are_allowed(name: str) -> None:
    """A name that passes is given back as it is."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../evil",
        "-rf",
        "_x",
        ".x",
        "a/b",
        "a b",
        "a\n",
        "\n",
        "a\0",
        "ä",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "x" * 129,
        "x" * 100_000,
    ],
)
def test_other_names_are_refused_with_the_rule(name: str) -> None:
    """The refusal says what is allowed, and does not repeat a novel."""
    with pytest.raises(InvalidOptions, match="use 1 to 128 letters") as refusal:
        check_name(name)
    assert len(str(refusal.value)) < 300
    assert "\n" not in str(refusal.value)


@given(st.text())
def test_allowed_names_are_safe_as_file_names(name: str) -> None:
    """Whatever passes is one path component of plain ASCII that no tool takes for an option."""
    try:
        check_name(name)
    except InvalidOptions:
        return
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set("/\\ \0")
    assert name[0] not in ".-"


@pytest.mark.parametrize("mode", AccessMode)
def test_modes_are_read_in_any_case(mode: AccessMode) -> None:
    """A mode is read back from its own name, whatever its case and the blanks around it."""
    assert AccessMode.parse(mode.value) is mode
    assert AccessMode.parse(f" {mode.value.upper()} ") is mode


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("ReadWriteOnce", AccessMode.SINGLE_WRITER),
        ("ReadWriteOncePod", AccessMode.SINGLE_CONTAINER),
        ("ReadOnlyMany", AccessMode.SHARED_READ),
        ("readwritemany", AccessMode.SHARED),
        ("RWO", AccessMode.SINGLE_WRITER),
        ("rwop", AccessMode.SINGLE_CONTAINER),
        ("rox", AccessMode.SHARED_READ),
        ("rwx", AccessMode.SHARED),
    ],
)
def test_modes_have_the_names_of_kubernetes(text: str, mode: AccessMode) -> None:
    """Whoever comes from Kubernetes finds the words they know."""
    assert AccessMode.parse(text) is mode


def test_unknown_mode_is_refused_with_the_list() -> None:
    """The refusal lists the modes under both names."""
    with pytest.raises(ValueError, match="exclusive") as refusal:
        AccessMode.parse("exclusive")
    for mode in AccessMode:
        assert mode.value in str(refusal.value)
    assert "ReadWriteOnce" in str(refusal.value)


def test_only_shared_read_is_read_only() -> None:
    """Exactly one mode forbids everybody to write."""
    assert [mode for mode in AccessMode if mode.read_only] == [AccessMode.SHARED_READ]
