"""Mount options against what drivers know and operators allow."""

import pytest

from volplug.errors import InvalidOptions
from volplug.mount_words import FLAG, NUMBER, MountWords

_KNOWN = {"hard": FLAG, "soft": FLAG, "ro": FLAG, "timeo": NUMBER, "vers": r"=(3|4\.2)"}


def words(*operator: str, allowed: tuple[str, ...] = ("ro", "timeo")) -> MountWords:
    """Return the options of an imaginary share."""
    return MountWords(
        _KNOWN,
        slots={"soft": "hard"},
        ours=("hard", "timeo=600"),
        operator=operator,
        allowed=allowed,
    )


def test_last_of_a_name_counts() -> None:
    """Ours, the driver's for this mount, the operator's, the user's: the later one counts."""
    assert words().text(()) == ("hard", "timeo=600")
    assert words("timeo=50").text(()) == ("hard", "timeo=50")
    assert words("timeo=50").text(("timeo=7", "ro")) == ("hard", "timeo=7", "ro")
    assert set(words("vers=3").text((), "vers=4.2")) == {"hard", "timeo=600", "vers=3"}


def test_opposites_share_a_slot() -> None:
    """An option that takes another one's place leaves only itself."""
    assert words("soft").text(()) == ("soft", "timeo=600")


@pytest.mark.parametrize(
    "given",
    ["soft", "vers=3", "bind", "ro=1", "timeo", "timeo=", "timeo=1,bind", "timeo=\u0661", "", "RO"],
)
def test_users_cannot_say_more(given: str) -> None:
    """What the operator did not allow, or has no such value, is refused."""
    with pytest.raises(InvalidOptions, match="mount option"):
        words().text((given,))
    with pytest.raises(InvalidOptions, match="mount option"):
        words().check((given,))


@pytest.mark.parametrize("given", ["bind", "vers=5", "hard=1", "ro,bind"])
def test_operators_mistakes_are_told_at_once(given: str) -> None:
    """An operator's option that the share does not have is refused when the driver is made."""
    with pytest.raises(InvalidOptions, match="known:"):
        words(given)
    with pytest.raises(InvalidOptions, match="allowed_options"):
        words(allowed=(given,))
