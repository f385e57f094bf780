"""Who this machine is: IMDSv2, the firmware, or what the operator says."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.ebs.cloud import Cloud
from volplug.sdk import Secret, Unavailable, VolplugError
from volplug_ebs import EbsConfig, EbsDriver
from volplug_ebs._machine import Machine


def test_metadata_service(config: EbsConfig, nodes: tuple[str, str]) -> None:
    """Instance, region and zone come from the service, whose token is fetched first."""
    machine = Machine(config)
    facts = (machine.instance_id(), machine.region(), machine.zone())
    assert facts == (nodes[0], "us-east-1", "us-east-1a")


def test_proxy_is_never_asked(
    config: EbsConfig, nodes: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is this machine's own, whatever proxy the environment names."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert Machine(config).instance_id() == nodes[0]


def test_setting_comes_first(cloud: Cloud, config: EbsConfig) -> None:
    """The operator's word needs no service."""
    cloud.set(instance="")
    assert EbsDriver(replace(config, node="i-0123456789")).node_id() == "i-0123456789"


def test_firmware_is_asked_next(cloud: Cloud, config: EbsConfig, tmp_path: Path) -> None:
    """Without the service the asset tag is used, if it is an instance id."""
    cloud.set(instance="")
    tag = tmp_path / "board_asset_tag"
    tag.write_text("i-0fedcba9876543210\n")
    assert Machine(config, tag).instance_id() == "i-0fedcba9876543210"
    tag.write_text("Not Specified\n")
    with pytest.raises(Unavailable, match="hop limit of 2"):
        Machine(config, tag).instance_id()


def test_no_service(config: EbsConfig) -> None:
    """Elsewhere than on EC2 the refusal names the three settings."""
    elsewhere = replace(config, metadata="http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="set node, region and zone"):
        Machine(elsewhere).zone()


def test_half_a_key(config: EbsConfig) -> None:
    """One key without the other is refused at the start."""
    with pytest.raises(VolplugError, match="go together"):
        EbsDriver(replace(config, secret_key=None, access_key=Secret("env:HOME")))
