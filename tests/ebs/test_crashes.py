"""SIGKILL at every call of EC2's API: whoever repeats the verb ends in the same state.

A child process runs the verb and dies before its k-th call, for every k, which is also after the
call before it. What is left is counted at EC2 and not asked of the driver.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.ebs.cloud import Cloud
from tests.ebs.conftest import MakeVolume
from volplug.sdk import Size, Volume
from volplug_ebs import EbsConfig, EbsDriver, EbsOptions
from volplug_ebs._ec2 import Ec2

Verb = Callable[[EbsDriver, Volume[EbsOptions]], Any]
_MOST = 30


def _dies(driver: EbsDriver, volume: Volume[EbsOptions], verb: Verb, step: int) -> bool:
    """Run the verb in a child that dies at a step; say whether it died."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _arm(step)
            verb(driver, volume)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the verb failed"
    return os.WIFSIGNALED(status)


def _arm(step: int) -> None:
    """Die before the call of that number."""
    send = Ec2._send
    left = step

    def sending(ec2: Ec2, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return send(ec2, operation, parameters)

    vars_of: Any = Ec2
    vars_of._send = sending


@pytest.fixture
def every_step(config: EbsConfig) -> Callable[[Callable[[int], Volume[EbsOptions]], Verb], int]:
    """Let a verb die at each step with a volume of its own, and repeat it."""

    def run(prepare: Callable[[int], Volume[EbsOptions]], verb: Verb) -> int:
        for step in range(_MOST):
            volume = prepare(step)
            died = _dies(EbsDriver(config), volume, verb, step)
            verb(EbsDriver(config), volume)
            if not died:
                assert step >= 2, "the calls were not counted"
                return step
        raise AssertionError(f"more than {_MOST} steps")

    return run


EveryStep = Callable[[Callable[[int], Volume[EbsOptions]], Verb], int]


def test_create(
    cloud: Cloud, config: EbsConfig, options: EbsOptions, every_step: EveryStep
) -> None:
    """One volume of each name, however its create died."""
    mode = next(iter(EbsDriver.access_modes))
    steps = every_step(
        lambda step: Volume(f"crash-create-{step}", "ebs", "", mode, options),
        lambda driver, volume: driver.create(volume.name, volume.options),
    )
    for step in range(steps + 1):
        [disk] = cloud.disks(f"crash-create-{step}")
        assert EbsDriver(config).create(f"crash-create-{step}", options) == disk["id"]


def test_clone(cloud: Cloud, make: MakeVolume, options: EbsOptions, every_step: EveryStep) -> None:
    """One copy, however its clone died."""
    origin, mode = make(), next(iter(EbsDriver.access_modes))
    steps = every_step(
        lambda step: Volume(f"crash-clone-{step}", "ebs", "", mode, options),
        lambda driver, volume: driver.clone(origin, volume.name, replace(options, size=None)),
    )
    for step in range(steps + 1):
        assert len(cloud.disks(f"crash-clone-{step}")) == 1


def test_snapshot(cloud: Cloud, driver: EbsDriver, make: MakeVolume, every_step: EveryStep) -> None:
    """One snapshot, however its taking died, and none when its deletion did."""
    volume = make()
    names = iter(f"s{number}" for number in range(_MOST))
    taken: list[str] = []

    def name(_: int) -> Volume[EbsOptions]:
        taken.append(next(names))
        return volume

    every_step(name, lambda driver, volume: driver.create_snapshot(volume, taken[-1]))
    assert cloud.snapshots(volume.handle) == sorted(taken)

    def again(_: int) -> Volume[EbsOptions]:
        driver.create_snapshot(volume, "doomed")
        return volume

    every_step(again, lambda driver, volume: driver.delete_snapshot(volume, "doomed"))
    assert cloud.snapshots(volume.handle) == sorted(taken)


def test_volume_from_a_snapshot(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, every_step: EveryStep
) -> None:
    """One volume, however its making died."""
    origin = make()
    driver.create_snapshot(origin, "seed")
    steps = every_step(
        lambda step: replace(origin, name=f"crash-seed-{step}"),
        lambda driver, volume: driver.clone_snapshot(origin, "seed", volume.name, volume.options),
    )
    for step in range(steps + 1):
        assert len(cloud.disks(f"crash-seed-{step}")) == 1


@pytest.mark.parametrize("verb", ["attach", "detach", "fence"])
def test_attachments(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, every_step: EveryStep, verb: str
) -> None:
    """Attached once, or not at all, however the verb died."""
    volume, node = make(), driver.node_id()

    def prepare(step: int) -> Volume[EbsOptions]:
        if step and verb == "attach":
            driver.detach(volume, node)
        elif verb != "attach":
            driver.attach(volume, node)
        return volume

    def act(driver: EbsDriver, volume: Volume[EbsOptions]) -> None:
        getattr(driver, verb)(volume, node)
        [disk] = cloud.disks(volume.name)
        assert disk["holders"] == ([node] if verb == "attach" else [])

    every_step(prepare, act)


def test_expand(cloud: Cloud, make: MakeVolume, every_step: EveryStep) -> None:
    """One change each, of the four that a day admits, however the expand died."""
    steps = every_step(
        lambda step: make(f"{step}"), lambda driver, volume: driver.expand(volume, Size(2 << 30))
    )
    for step in range(steps + 1):
        [disk] = cloud.disks(f"test_expand-{step}")
        assert (disk["size"], disk["changes"]) == (2, 1)


def test_delete(cloud: Cloud, make: MakeVolume, every_step: EveryStep) -> None:
    """Nothing stays, and nothing else goes, however the delete died."""
    kept = make("kept")
    every_step(lambda step: make(f"{step}"), lambda driver, volume: driver.delete(volume))
    left = [disk["name"] for disk in cloud.disks() if disk["name"].startswith("test_delete")]
    assert left == [kept.name]
