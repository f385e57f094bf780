"""`volplug drivers`: what can be told of a driver without asking its backend."""

from collections.abc import Callable
from typing import Any

import pytest

from volplug import cli
from volplug.admin import drivers, views
from volplug.config import Config
from volplug.errors import VolplugError

CONFIG = Config(
    default_backend="gold",
    backends={"gold": {"driver": "halldisk"}, "lost": {"driver": "nowhere"}},
)

Named = Callable[[str], dict[str, Any]]


@pytest.fixture
def named(hall: None) -> Named:  # noqa: ARG001  installed first
    """Return one driver's summary by its name."""
    found = {one["name"]: one for one in drivers.summaries(CONFIG)}
    return found.__getitem__


def test_summary(named: Named) -> None:
    """Kind, access modes, abilities and backends are read off the class."""
    assert named("halldisk") == {
        "name": "halldisk",
        "kind": "disk",
        "access": ["single-writer"],
        "abilities": ["expand"],
        "backends": ["gold"],
    }
    assert (named("halltree")["kind"], named("halltree")["access"]) == (
        "tree",
        ["shared", "shared-read"],
    )


def test_what_cannot_be_loaded_is_listed(named: Named) -> None:
    """A driver that cannot be used is listed with the reason; the others are none the worse."""
    assert "hall" in named("hallgone")["problem"]
    assert named("nowhere")["backends"] == ["lost"]
    assert "nowhere" in named("nowhere")["problem"]


@pytest.mark.usefixtures("hall")
def test_views() -> None:
    """Tables name each driver, each option with its default, and each key of a backend."""
    table = views.drivers(drivers.summaries(CONFIG))
    assert "halldisk disk single-writer" in " ".join(table.split())
    assert table.splitlines()[-1].startswith("nowhere: ")
    page = views.driver(drivers.details("halldisk", CONFIG))
    assert "size    size      required  how large" in page
    assert "fstype  ext4|xfs  xfs       file system on the disk" in page
    assert "access    single-container|single-writer|shared-read|shared  single-writer" in page
    assert "password  secret  required  where the password is" in page


@pytest.mark.usefixtures("hall")
def test_details_of_none() -> None:
    """A driver that does not exist is refused."""
    with pytest.raises(VolplugError, match="nowhere"):
        drivers.details("nowhere", CONFIG)


@pytest.mark.usefixtures("hall")
def test_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`volplug drivers NAME` needs no running volplug."""
    monkeypatch.setenv("VOLPLUG_CONFIG", "/dev/null")
    assert cli.main(["drivers", "halltree", "--table"]) == 0
    assert "needs: mount.hall\n" in capsys.readouterr().out
    assert cli.main(["drivers", "nowhere"]) == 1
