"""A strict EC2 on loopback, two instances of one zone and one of another."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests import tested
from tests.ebs.cloud import Cloud, running
from volplug.sdk import Secret, Size, Volume
from volplug_ebs import EbsConfig, EbsDriver, EbsOptions


@pytest.fixture(scope="session")
def server() -> Iterator[Cloud]:
    """Start the server once."""
    tested.against(["ebs"], f"a strict stand-in over moto {version('moto')}", "tests/ebs/")
    with running() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def nodes(server: Cloud) -> tuple[str, str]:
    """Return two instances of one zone."""
    return server.instance(), server.instance()


@pytest.fixture
def cloud(server: Cloud, nodes: tuple[str, str]) -> Iterator[Cloud]:
    """Return the server without any fault; what a test leaves there is removed."""
    usual = server.ask("knobs")
    server.set(instance=nodes[0])
    server.calls()
    yield server
    server.ask("faults", [])
    server.set(**usual)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Return the file that holds the backend's keys."""
    file = tmp_path / "key"
    file.write_text("testing\n")
    return file


@pytest.fixture
def config(cloud: Cloud, key_file: Path) -> EbsConfig:
    """Return a backend at the strict EC2, on the first node."""
    key = Secret(f"file:{key_file}")
    return EbsConfig(
        endpoint=cloud.url, metadata=cloud.url, access_key=key, secret_key=key, poll_s=0.02
    )


@pytest.fixture
def driver(config: EbsConfig) -> EbsDriver:
    """Return a driver on the first node."""
    return EbsDriver(config)


@pytest.fixture
def options() -> EbsOptions:
    """Return options for the smallest volume."""
    return EbsOptions(size=Size.parse("1G"))


MakeVolume = Callable[..., Volume[EbsOptions]]


@pytest.fixture
def make(driver: EbsDriver, options: EbsOptions, request: pytest.FixtureRequest) -> MakeVolume:
    """Make volumes under the test's name."""

    def make(name: str = "data", **wishes: Any) -> Volume[EbsOptions]:
        name = f"{request.node.name}-{name}".translate({91: 45, 93: None})
        wished = replace(options, **wishes)
        mode = next(iter(driver.access_modes))
        return Volume(name, "ebs", driver.create(name, wished), mode, wished)

    return make
