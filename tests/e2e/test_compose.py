"""Docker Compose with the project's own example file, in which only the images are replaced."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.engine import IMAGE, Node
from tests.machine import need_program

pytestmark = [pytest.mark.engine, pytest.mark.root]

EXAMPLE = Path(__file__).parents[2] / "deploy/compose.yaml"
SLEEPS = f"image: {IMAGE}\n    command: [sleep, '100000']\n    stop_signal: SIGKILL"


@pytest.fixture
def project(node: Node) -> Iterator[tuple[str, ...]]:
    """Return the words that run Compose on the example, and take the project down at the end."""
    compose = need_program("docker-compose", "docker-compose")
    directory = node.directory / "shop"
    directory.mkdir()
    (directory / "password").write_text("not a secret\n")
    example = EXAMPLE.read_text()
    for image in ("postgres:17", "nginx:1"):
        assert f"image: {image}" in example
        example = example.replace(f"image: {image}", SLEEPS)
    (directory / "compose.yaml").write_text(example)
    words = (str(compose), f"--file={directory}/compose.yaml", "--project-name=shop")
    yield words
    node.run(*words, "down", "--volumes").ok()


def test_the_example_runs(node: Node, project: tuple[str, ...]) -> None:
    """`up` makes the volumes under the project's name and labels; `down -v` removes them."""
    node.run(*project, "up", "--detach").ok()
    (volume,) = json.loads(node.docker("volume", "inspect", "shop_data").ok())
    assert volume["Driver"] == "volplug"
    assert volume["Labels"]["com.docker.compose.volume"] == "data"
    assert volume["Options"]["access"] == "single-container"
    node.run(*project, "exec", "-T", "database", "touch", "/var/lib/postgresql/data/here").ok()
    node.run(*project, "up", "--detach").ok()  # a second time changes nothing
    node.run(*project, "down").ok()
    node.run(*project, "up", "--detach").ok()
    node.run(*project, "exec", "-T", "database", "ls", "/var/lib/postgresql/data/here").ok()
    node.run(*project, "down", "--volumes").ok()
    listed = node.docker("volume", "ls", "-q", "--filter", "driver=volplug").ok().split()
    assert not {"shop_data", "shop_pages"} & set(listed)
