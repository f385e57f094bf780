"""Fences: what each proves, and that none is claimed that was not proven."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from tests.ebs.cloud import Cloud
from tests.ebs.conftest import MakeVolume
from volplug.sdk import AccessDenied, DeadlineExceeded, InvalidOptions, deadline
from volplug_ebs import EbsConfig, EbsDriver

Fencing = Callable[[Literal["detach", "stop", "terminate"]], EbsDriver]


@pytest.fixture
def fencing(config: EbsConfig) -> Fencing:
    """Make drivers that fence in a way."""
    return lambda by: EbsDriver(replace(config, fence_by=by))


def test_detachment_by_force(
    cloud: Cloud, fencing: Fencing, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """It says that the instance still runs, and the other node can have the volume."""
    volume, driver = make(), fencing("detach")
    driver.attach(volume, nodes[0])
    cloud.set(stuck=True)
    proof = driver.fence(volume, nodes[0])
    assert "the instance is running" in proof
    assert "not written is lost" in proof
    driver.attach(volume, nodes[1])
    assert driver.fence(volume, nodes[0])
    assert cloud.disks(volume.name)[0]["holders"] == [nodes[1]], "the other node keeps it"


@pytest.mark.parametrize(("by", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_instance_taken_down(
    cloud: Cloud,
    fencing: Fencing,
    make: MakeVolume,
    by: Literal["stop", "terminate"],
    state: str,
) -> None:
    """The proof names the state, which is true, and repeating finds it so."""
    node, volume, driver = cloud.instance(), make(), fencing(by)
    driver.attach(volume, node)
    cloud.set(stuck=True)
    assert f"instance {node} is {state}" in driver.fence(volume, node)
    told = cloud.ec2.describe_instances(InstanceIds=[node])["Reservations"][0]["Instances"][0]
    assert told["State"]["Name"] == state
    assert cloud.disks(volume.name)[0]["holders"] == []
    assert "nothing to detach there" in driver.fence(volume, node)


def test_instance_that_has_nothing_goes_on(
    cloud: Cloud, fencing: Fencing, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """A node that EC2 refuses to detach from is not stopped for nothing."""
    cloud.calls()
    assert "nothing to detach" in fencing("stop").fence(make(), nodes[1])
    assert "StopInstances" not in cloud.calls()


def test_no_proof_no_answer(
    cloud: Cloud, fencing: Fencing, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """While EC2 still detaches, throttles or refuses, the fence raises instead."""
    volume, driver = make(), fencing("detach")
    driver.attach(volume, nodes[0])
    cloud.fault("denied", "DetachVolume", times=1000)
    with pytest.raises(AccessDenied):
        driver.fence(volume, nodes[0])
    cloud.fault("throttle", "DetachVolume", times=1000)
    with deadline(1), pytest.raises(DeadlineExceeded):
        driver.fence(volume, nodes[0])
    cloud.ask("faults", [])
    cloud.set(detach_s=1000)
    with deadline(2), pytest.raises(DeadlineExceeded, match=f"detached from {nodes[0]}"):
        driver.fence(volume, nodes[0])
    assert cloud.disks(volume.name)[0]["holders"] == [nodes[0]]


def test_stop_that_is_not_over(cloud: Cloud, fencing: Fencing, make: MakeVolume) -> None:
    """`stopping` is not stopped."""
    node, volume, driver = cloud.instance(), make(), fencing("stop")
    driver.attach(volume, node)
    cloud.set(stop_s=1000)
    with deadline(1), pytest.raises(DeadlineExceeded, match="to be over"):
        driver.fence(volume, node)


def test_name_that_is_no_instance(fencing: Fencing, make: MakeVolume) -> None:
    """A host name is no instance, and its fence is refused instead of found to be over."""
    with pytest.raises(InvalidOptions, match="'web-1' is no instance id"):
        fencing("detach").fence(make(), "web-1")
