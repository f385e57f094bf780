"""The page of the vsphere backend says what its class does."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.pages import BACKENDS, part, table
from volplug import registry
from volplug.options import parse

_PAGE = (BACKENDS / "vsphere.md").read_text()


@pytest.mark.parametrize("kind", ["config", "options"])
def test_settings_and_options(kind: str) -> None:
    """Every setting and option stands on the page, word for word as the class explains it."""
    driver = registry.load("vsphere")
    wanted = table(driver.config_type if kind == "config" else driver.options_type)
    assert part(BACKENDS / "vsphere.md", f"vsphere-{kind}") == wanted, (
        f"this has to stand there:\n{wanted}"
    )


def test_example_is_accepted() -> None:
    """The example of a configuration is one that the driver takes."""
    example = re.search(r"```toml\n(.*?)```", _PAGE, re.DOTALL)
    assert example
    for name, keys in tomllib.loads(example[1])["backends"].items():
        driver = registry.load(keys.pop("driver"))
        driver(parse(driver.config_type, keys, what=name))


def test_sentences_are_the_drivers() -> None:
    """Each sentence that the page explains is one that the driver says."""
    files = (Path(__file__).parents[2] / "drivers").glob("volplug_vsphere/*.py")
    code = re.sub(r'"\n\s+f?"', "", "".join(file.read_text() for file in files))
    quoted = re.findall(r"^\| “(.*?)” \|", _PAGE, re.MULTILINE)
    assert len(quoted) >= 10
    for sentence in quoted:
        assert all(part in code for part in sentence.split("…")), sentence
