"""The page of the ebs backend says what its classes do, and its policy fits what is called."""

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from tests.pages import BACKENDS, part, table
from volplug import registry
from volplug.options import parse

_ROOT = Path(__file__).parents[2]
_PAGE = (BACKENDS / "ebs.md").read_text()


def _called() -> set[str]:
    """Return the EC2 actions that stand in the driver's code as text."""
    words = {
        node.value
        for file in (_ROOT / "drivers/volplug_ebs").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    verb = re.compile(r"(create|copy|delete|attach|detach|modify|describe|stop|terminate)_[a-z_]+")
    return {word.title().replace("_", "") for word in words if verb.fullmatch(word)}


def test_settings_and_options() -> None:
    """Every setting and option stands on the page, word for word as the class explains it."""
    driver = registry.load("ebs")
    for name, declared in (
        ("ebs-config", driver.config_type),
        ("ebs-options", driver.options_type),
    ):
        wanted = table(declared)
        assert part(BACKENDS / "ebs.md", name) == wanted, f"this has to stand there:\n{wanted}"


def test_examples_are_accepted() -> None:
    """Each example of a configuration is one that the driver takes."""
    examples = re.findall(r"```toml\n(.*?)```", _PAGE, re.DOTALL)
    assert examples
    for text in examples:
        for name, keys in tomllib.loads(text)["backends"].items():
            driver = registry.load(keys.pop("driver"))
            driver(parse(driver.config_type, keys, what=name))


def test_policies_allow_what_is_called() -> None:
    """The two policies together allow every action that the driver calls, and tags; no more."""
    policies: list[dict[str, Any]] = [
        json.loads(text) for text in re.findall(r"```json\n(.*?)```", _PAGE, re.DOTALL)
    ]
    assert len(policies) == 2
    allowed: set[str] = set()
    for policy in policies:
        for statement in policy["Statement"]:
            actions = statement["Action"]
            allowed |= {actions} if isinstance(actions, str) else set(actions)
    ec2 = {action.removeprefix("ec2:") for action in allowed if action.startswith("ec2:")}
    assert ec2 - {"CreateTags"} == _called()
