"""The page of the ONTAP drivers says what their classes do, and what they ask of the array."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.netapp.conftest import ADDRESS_A, CHAP, NODE_A, Sim, disk, share
from tests.pages import BACKENDS, part, table
from volplug import registry
from volplug.options import parse
from volplug_netapp import NasOptions, SanOptions

_ROOT = Path(__file__).parents[2]
_PAGE = BACKENDS / "netapp.md"
_DRIVERS = ("netapp-san", "netapp-nas")


@pytest.mark.parametrize("driver", _DRIVERS)
@pytest.mark.parametrize("kind", ["config", "options"])
def test_settings_and_options(driver: str, kind: str) -> None:
    """Every setting and option stands on the page, word for word as the class explains it."""
    loaded = registry.load(driver)
    wanted = table(loaded.config_type if kind == "config" else loaded.options_type)
    assert part(_PAGE, f"{driver}-{kind}") == wanted, f"this has to stand there:\n{wanted}"


def test_examples_are_accepted() -> None:
    """Each example of a configuration is one that its driver takes."""
    examples = re.findall(r"```toml\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    assert len(examples) == len(_DRIVERS)
    for text in examples:
        for name, keys in tomllib.loads(text)["backends"].items():
            driver = registry.load(keys.pop("driver"))
            driver(parse(driver.config_type, keys, what=name))


def test_sentences_are_the_drivers_own() -> None:
    """What the page explains is said somewhere in the code."""
    places = (_ROOT / "drivers/volplug_netapp", _ROOT / "volplug/linux/iscsi")
    code = "".join(file.read_text() for place in places for file in place.glob("*.py"))
    code = re.sub(r'"\s+f?"', "", code)
    rows = re.findall(r"^\| (`.+?`) \| [^|]+ \| [^|]+ \|$", _PAGE.read_text(), re.MULTILINE)
    said = [words for row in rows for words in re.findall(r"`(.+?)`", row) if " " in words]
    assert len(said) > 10
    assert [words for words in said if words not in code] == []


def test_privileges_are_enough_and_needed(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths of the role are those that the drivers ask, reading or changing."""
    monkeypatch.setenv("CHAP_PASSWORD", "opensesame12")
    san, nas = sim.san(**CHAP), sim.nas()
    one = disk(san.create("data", SanOptions()))
    san.attach(one, NODE_A)
    san.fence(one, NODE_A)
    san.delete(one)
    two = share(nas.create("data", NasOptions()))
    nas.attach(two, ADDRESS_A)
    nas.fence(two, ADDRESS_A)
    nas.delete(two)
    role = dict(re.findall(r"-api /api(/\S+)\s+-access (\w+)", _PAGE.read_text()))
    used: set[str] = set()
    for call in sim.calls():
        method, path = call.split()
        [allowed] = [known for known in role if path == known or path.startswith(f"{known}/")]
        assert method == "GET" or role[allowed] == "all", call
        used.add(allowed)
    assert used == set(role)
