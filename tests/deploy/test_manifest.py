"""Tests of config.json, which the engine itself does not check at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.manifest import DISPENSABLE, fit
from volplug import config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manifest() -> dict[str, Any]:
    """Read the managed plugin's manifest."""
    found: dict[str, Any] = json.loads((ROOT / "config.json").read_text())
    return found


def test_its_socket_is_where_we_listen(manifest: dict[str, Any]) -> None:
    """The engine dials the socket that volplug binds by default, and its path fits the kernel."""
    socket = manifest["interface"]["socket"]
    assert config.load(None, {}, default_file=None).socket == Path("/run/docker/plugins") / socket
    assert len(f"/run/docker/plugins/{'0' * 64}/{socket}") <= 107


def test_its_variables_are_settings(manifest: dict[str, Any]) -> None:
    """Every variable is one that volplug knows, with its default in code: none has a value here.

    An upgrade keeps old values and brings no new ones (docker-contract 5.2).
    """
    known = {config.variable(key) for key in config._KEYS} | {config.FILE_VARIABLE}
    for variable in manifest["env"]:
        assert variable["name"] in known
        assert variable["settable"] == ["value"]
        assert "value" not in variable


def test_its_entrypoint_settles_what_an_upgrade_must_not_lose(manifest: dict[str, Any]) -> None:
    """What volplug mounts lies under propagatedMount, whatever the operator's settings say."""
    words = manifest["entrypoint"]
    assert words[0] == "/usr/bin/env"
    assert words[-2:] == ["volplug", "serve"]
    environment = dict(word.split("=", 1) for word in words[1:-2])
    settings = config.load(None, environment, default_file=None)
    assert settings.managed
    assert settings.mount_dir == Path(manifest["propagatedMount"])


def test_its_state_outlives_it(manifest: dict[str, Any]) -> None:
    """The state directory lies in a host directory that exists on every machine."""
    state = config.load(None, {}, default_file=None).state_dir
    (mount,) = (mount for mount in manifest["mounts"] if mount["name"] == "state")
    assert state.is_relative_to(mount["destination"])
    assert Path(mount["source"]).is_dir()


def test_it_may_see_and_do_what_volplug_needs(manifest: dict[str, Any]) -> None:
    """It mounts, grows ext4, and reads the mounts of every process of the host."""
    assert manifest["pidhost"]
    assert manifest["network"] == {"type": "host"}
    needed = {"CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_SYS_PTRACE"}
    assert needed <= set(manifest["linux"]["capabilities"])


def test_it_is_taken_as_it_is_where_the_machine_has_everything() -> None:
    """A machine that lacks nothing gets the manifest to the letter."""
    text = (ROOT / "config.json").read_text()
    assert fit(text, 2**41 - 1) == (text, [])


@pytest.mark.parametrize(("name", "number"), [(n, d[0]) for n, d in DISPENSABLE.items()])
def test_it_goes_without_what_the_machine_lacks(name: str, number: int) -> None:
    """An engine refuses a plugin that asks for more than the machine has; the loss is told."""
    text, [loss] = fit((ROOT / "config.json").read_text(), (2**41 - 1) & ~(1 << number))
    assert name not in json.loads(text)["linux"]["capabilities"]
    assert name in loss
