"""The pages of the NFS and Gluster backends say what their classes do."""

import re
import tomllib

import pytest

from tests.pages import BACKENDS, part, table
from volplug import registry
from volplug.options import parse

_DRIVERS = {
    "nfs": "nfs",
    "nfs-ganesha": "nfs",
    "glusterfs": "glusterfs",
    "glusterfs-managed": "glusterfs",
}
_SAME_OPTIONS = {"nfs-ganesha"}


@pytest.mark.parametrize(("driver", "page"), _DRIVERS.items())
def test_settings_and_options(driver: str, page: str) -> None:
    """Every setting and option stands on the page, word for word as the class explains it."""
    loaded = registry.load(driver)
    wanted = table(loaded.config_type)
    assert part(BACKENDS / f"{page}.md", f"{driver}-config") == wanted, (
        f"this has to stand there:\n{wanted}"
    )
    name = "nfs" if driver in _SAME_OPTIONS else driver
    wanted = table(loaded.options_type)
    assert part(BACKENDS / f"{page}.md", f"{name}-options") == wanted, (
        f"this has to stand there:\n{wanted}"
    )


@pytest.mark.parametrize("page", ["nfs", "glusterfs"])
def test_examples_are_accepted(page: str) -> None:
    """Each example of a configuration is one that its driver takes."""
    examples = re.findall(r"```toml\n(.*?)```", (BACKENDS / f"{page}.md").read_text(), re.DOTALL)
    assert len(examples) == 2
    for text in examples:
        for name, keys in tomllib.loads(text)["backends"].items():
            driver = registry.load(keys.pop("driver"))
            driver(parse(driver.config_type, keys, what=name))
