"""The promises of backends.py: mistakes are refused early, a missing library only when used."""

from pathlib import Path
from typing import Any

import pytest

from volplug.backends import Backends
from volplug.errors import InvalidOptions, Unsupported
from volplug.testing import FakeDriver


def load(name: str) -> type[FakeDriver]:
    """Load the fake driver, or fail as a driver whose extra is not installed does."""
    if name == "cloudy":
        raise Unsupported("driver 'cloudy' needs pip install 'volplug[cloudy]'")
    return FakeDriver


def backends(settings: dict[str, dict[str, Any]], default: str = "gold") -> Backends:
    """Make backends with that loader."""
    return Backends(settings, default=default, load=load, state_dir=Path("/state"))


def test_config_is_read_with_the_drivers_types() -> None:
    """A backend's keys become the driver's Config."""
    made = backends({"gold": {"driver": "fake", "capacity": "2T"}})
    assert made.driver("gold").config.capacity == 2 * 1024**4
    assert made.driver("gold") is made.driver("gold")


def test_a_missing_library_hurts_only_its_backend() -> None:
    """The others work, and the sentence comes when the backend is used."""
    made = backends({"gold": {"driver": "fake"}, "sky": {"driver": "cloudy"}})
    assert made.names() == ["gold", "sky"]
    with pytest.raises(Unsupported, match=r"volplug\[cloudy\]"):
        made.driver("sky")


@pytest.mark.parametrize(
    ("settings", "default", "sentence"),
    [
        ({"gold": {}}, "gold", "backend 'gold' names no driver"),
        ({"gold": {"driver": "fake", "capasity": "1T"}}, "gold", "did you mean 'capacity'"),
        ({"gold": {"driver": "fake"}}, "glod", r"default_backend is 'glod'.*configured: gold"),
    ],
)
def test_mistakes_are_refused_at_the_start(
    settings: dict[str, dict[str, Any]], default: str, sentence: str
) -> None:
    """Each names the backend, what was wrong and what exists."""
    with pytest.raises(InvalidOptions, match=sentence):
        backends(settings, default)


def test_an_unknown_backend_gets_a_suggestion() -> None:
    """A user's typing mistake is answered with what is configured."""
    made = backends({"gold": {"driver": "fake"}})
    with pytest.raises(InvalidOptions, match=r"'glod', did you mean 'gold'\? \(configured: gold"):
        made.driver("glod")
