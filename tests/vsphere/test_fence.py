"""A fence of the vsphere driver: what it proves, and when it refuses to."""

import itertools

import pytest

from tests.vsphere.conftest import volume_of
from tests.vsphere.vcenter import NODES, Vcenter
from volplug.sdk import AccessDenied, Unavailable, Volume
from volplug_vsphere import VsphereDriver, VsphereOptions

AnyVolume = Volume[VsphereOptions]


@pytest.fixture
def held(driver: VsphereDriver, volume: AnyVolume) -> AnyVolume:
    """Return a volume that the first machine has."""
    driver.attach(volume, driver.node_id())
    return volume


def test_fence_is_power_off_and_removal(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, held: AnyVolume
) -> None:
    """Another node fences: the machine is off, the disk is off it, and the proof says both."""
    proof = other.fence(held, driver.node_id())
    assert vcenter.power(NODES[0]) == "poweredOff"
    assert "powered off" in proof
    assert "detached" in proof
    assert NODES[0] in proof
    assert other.attachments(held) == []
    other.attach(held, other.node_id())
    vcenter.power_on(NODES[0])  # as HA or somebody might
    assert vcenter.disks()[0]["held_by"] == [NODES[1]]


def test_fence_spares_a_machine_without_the_disk(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, held: AnyVolume
) -> None:
    """A machine that does not have the disk is not switched off for it."""
    assert "does not have" in driver.fence(held, other.node_id())
    assert vcenter.power(NODES[1]) == "poweredOn"
    assert vcenter.disks()[0]["held_by"] == [NODES[0]]


def test_fence_takes_disks_from_machines_that_are_off(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, held: AnyVolume
) -> None:
    """A machine that is off already still loses the disk, or it could not start again."""
    vcenter.tell(machine=NODES[0], power="poweredOff")
    other.fence(held, driver.node_id())
    assert vcenter.disks()[0]["held_by"] == []


@pytest.mark.parametrize(
    "state", list(itertools.product(["disconnected", "orphaned"], ["poweredOn", "poweredOff"]))
)
def test_silent_host_is_no_proof(
    vcenter: Vcenter, driver: VsphereDriver, held: AnyVolume, state: tuple[str, str]
) -> None:
    """What vCenter remembers of a machine whose host does not answer proves nothing."""
    vcenter.tell(machine=NODES[0], connection=state[0], power=state[1])
    with pytest.raises(Unavailable, match="nobody knows"):
        driver.fence(held, driver.node_id())
    assert vcenter.disks()[0]["held_by"] == [NODES[0]]


def test_missing_machine_is_no_proof(driver: VsphereDriver, held: AnyVolume) -> None:
    """A machine that was taken from the inventory may still run."""
    with pytest.raises(Unavailable, match="shows no machine"):
        driver.fence(held, "00000000-0000-0000-0000-000000000000")


def test_failed_power_off_is_no_proof(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, held: AnyVolume
) -> None:
    """Without the privilege to power off there is no fence, and the refusal names it."""
    vcenter.trouble("NoPermission", "PowerOffVM_Task")
    with pytest.raises(AccessDenied, match=r"VirtualMachine\.Interact\.PowerOff"):
        other.fence(held, driver.node_id())
    assert vcenter.disks()[0]["held_by"] == [NODES[0]]


def test_machine_that_starts_again_is_no_proof(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, held: AnyVolume
) -> None:
    """A power-off that did not last leaves the disk where it is, and is no proof."""
    vcenter.trouble("InvalidPowerState", "PowerOffVM_Task")  # says it is off, while it runs
    with pytest.raises(Unavailable, match="did not stay off"):
        other.fence(held, driver.node_id())
    assert vcenter.disks()[0]["held_by"] == [NODES[0]]


def test_fence_again_after_restart_spares_the_machine(
    vcenter: Vcenter, driver: VsphereDriver, other: VsphereDriver, held: AnyVolume
) -> None:
    """A fence that is repeated when the node is back does not switch it off again."""
    other.fence(held, driver.node_id())
    vcenter.power_on(NODES[0])
    other.fence(held, driver.node_id())
    assert vcenter.power(NODES[0]) == "poweredOn"


def test_other_volumes_of_the_machine_stay(
    driver: VsphereDriver, other: VsphereDriver, held: AnyVolume
) -> None:
    """Only the disk that was named is taken from the machine; the others wait for their fence."""
    second = volume_of(driver, "second")
    driver.attach(second, driver.node_id())
    other.fence(held, driver.node_id())
    assert [each.node_id for each in other.attachments(second)] == [driver.node_id()]
