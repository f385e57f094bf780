"""The operator's pages say what the program does: settings, commands, refusals, drivers, layout."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import part
from volplug import cli, guard_settings, registry, store_settings
from volplug.admin import drivers
from volplug.backends import drivers_own
from volplug.config import Config, Settings, load, variable
from volplug.errors import VolplugError
from volplug.guard_settings import GuardSettings
from volplug.lease import LeaseState
from volplug.options import describe, parse
from volplug.request import CommonOptions
from volplug.store_settings import StoreSettings
from volplug.volume import AccessMode

ROOT = Path(__file__).parents[1]
OPERATIONS = ROOT / "docs/operations.md"
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs/ARCHITECTURE.md"
TOML = r"```toml\n(.*?)```"
PAGES = sorted([README, *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize(
    ("place", "declared", "table"),
    [
        ("config", Settings, ()),
        ("store", StoreSettings, (store_settings.TABLE,)),
        ("guard", GuardSettings, (guard_settings.TABLE,)),
    ],
)
def test_settings(place: str, declared: type, table: tuple[str, ...]) -> None:
    """The reference of settings is what the dataclasses say, word for word."""
    lines = ["| key | variable | type | default | meaning |", "|---|---|---|---|---|"]
    for one in describe(declared):
        default = f"`{one.default}`" if one.default else ""
        lines.append(
            f"| `{one.name}` | `{variable(*table, one.name)}` | {one.type.replace('|', ' or ')}"
            f" | {default} | {one.help} |"
        )
    wanted = "\n".join(lines) + "\n"
    assert part(OPERATIONS, place) == wanted, f"this has to stand there:\n{wanted}"


def test_options() -> None:
    """The options that every backend takes are what the dataclass says, word for word."""
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for one in describe(CommonOptions):
        default = f"`{one.default}`" if one.default else ""
        lines.append(f"| `{one.name}` | {one.type.replace('|', ' or ')} | {default} | {one.help} |")
    wanted = "\n".join(lines) + "\n"
    assert part(OPERATIONS, "options") == wanted, f"this has to stand there:\n{wanted}"


def test_drivers() -> None:
    """README's table of drivers is what the classes say."""
    lines = ["| driver | kind | access modes | abilities |", "|---|---|---|---|"]
    for one in drivers.summaries(Config()):
        assert "problem" not in one, one
        access, abilities = ", ".join(one["access"]), ", ".join(sorted(one["abilities"]))
        lines.append(f"| `{one['name']}` | {one['kind']} | {access} | {abilities} |")
    wanted = "\n".join(lines) + "\n"
    assert part(README, "drivers") == wanted, f"this has to stand there:\n{wanted}"


@pytest.mark.parametrize("kind", VolplugError.__subclasses__())
def test_every_refusal(kind: type[VolplugError]) -> None:
    """Each kind of refusal is explained, with what to do."""
    assert re.search(
        rf"^\| `{kind.__name__}` \| .+ \| .+ \|$", OPERATIONS.read_text(), re.MULTILINE
    )


def commands(parser: argparse.ArgumentParser, words: str) -> Iterator[str]:
    """List every command that the parser takes."""
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not below:
        yield words
    for action in below:
        for name, command in action.choices.items():
            yield from commands(command, f"{words} {name}")


@pytest.mark.parametrize("command", list(commands(cli._parser(), "volplug")))
def test_every_command(command: str) -> None:
    """Each command stands in the table of commands."""
    assert re.search(rf"^\| `{command}\b", OPERATIONS.read_text(), re.MULTILINE)


@pytest.mark.parametrize("mode", AccessMode)
def test_every_access_mode(mode: AccessMode) -> None:
    """Each access mode stands in README, with Kubernetes' name that means the same."""
    found = re.search(rf"^\| `{mode}`.*? \| (\w+) \|", README.read_text(), re.MULTILINE)
    assert found
    assert AccessMode.parse(found[1]) is mode


@pytest.mark.parametrize("state", LeaseState)
def test_every_lease_state(state: LeaseState) -> None:
    """Each state of a lease is explained where leases are, and is a word of the glossary."""
    assert f"\n* `{state}`: " in OPERATIONS.read_text()
    assert f"\n**{state.capitalize()}** — " in (ROOT / "docs/glossary.md").read_text()


def test_readme_is_short() -> None:
    """README has fewer than 120 lines."""
    assert len(README.read_text().splitlines()) < 120


def test_glossary_is_sorted() -> None:
    """The glossary's words are in order, and each has one entry."""
    words = re.findall(r"^\*\*(.+?)\*\* — ", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(words) > 30
    assert words == sorted(set(words), key=str.lower)


def test_examples_of_configuration(tmp_path: Path) -> None:
    """Every volplug.toml on the pages is accepted, and so are its drivers' keys."""
    file = tmp_path / "volplug.toml"
    examples = [
        text
        for page in (README, OPERATIONS)
        for text in re.findall(TOML, page.read_text(), re.DOTALL)
    ]
    assert len(examples) >= 2
    for text in examples:
        file.write_text(text)
        config = load(file, {})
        for name, keys in config.backends.items():
            parse(registry.load(keys["driver"]).config_type, drivers_own(keys), what=name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """Every link leads to a file that exists, and to a heading that is in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        name, _, heading = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name} links to {target}"
        if heading:
            heads = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert heading in anchors, f"{page.name} links to {target}"


def test_layout() -> None:
    """The architecture names every module and folder of the package, and none that is not there."""
    block = re.search(r"```\nvolplug/\n(.*?)\ndrivers/", ARCHITECTURE.read_text(), re.DOTALL)
    assert block
    named = set()
    for line in block[1].splitlines():
        if not line.lstrip().startswith("#"):
            named.update(re.findall(r"^  (\w+/|\w+\.py)|(?<= )(\w+\.py)(?= |$)", line))
    found = {path.name for path in (ROOT / "volplug").glob("*.py")} - {"__init__.py"}
    found |= {f"{path.parent.name}/" for path in (ROOT / "volplug").glob("*/__init__.py")}
    assert {first or second for first, second in named} == found


def test_guarantees_name_tests_that_exist() -> None:
    """Each of the six guarantees names tests, and they are there."""
    rows = re.findall(r"^\| \*\*(\d)\. .+ \| (.+) \|$", ARCHITECTURE.read_text(), re.MULTILINE)
    assert [number for number, _ in rows] == list("123456")
    for _, tests in rows:
        for path in re.findall(r"`(.+?)`", tests):
            assert (ROOT / path).exists(), path
