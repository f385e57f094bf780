"""SIGKILL before every call to vCenter, in every verb: repeated, it ends in the same state."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from pyVmomi import SoapAdapter

from tests.vsphere.conftest import volume_of
from tests.vsphere.vcenter import NODES, Vcenter
from volplug.sdk import AccessMode, Size, Volume
from volplug_vsphere import VsphereDriver, VsphereOptions

AnyVolume = Volume[VsphereOptions]
_MOST = 60


def _die_before_call(left: int) -> None:
    """Let this process die before one of its calls; what it had begun goes on without it."""
    adapter: Any = SoapAdapter.SoapStubAdapter
    invoke = adapter.InvokeMethod
    calls = iter(range(left, -1, -1))

    def counted(*arguments: Any, **named: Any) -> Any:
        if next(calls) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return invoke(*arguments, **named)

    adapter.InvokeMethod = counted


def _dies(
    vcenter: Vcenter, left: int, verb: Callable[[VsphereDriver, Any], object], given: Any
) -> bool:
    """Run a verb in a process that dies before a call; say whether it came to its end before."""
    config = vcenter.driver().config
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _die_before_call(left)
            verb(VsphereDriver(config), given)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the verb failed"
    return os.WIFSIGNALED(status)


def _killed_everywhere(
    vcenter: Vcenter,
    task_ms: int,
    prepare: Callable[[VsphereDriver, str], Any],
    verb: Callable[[VsphereDriver, Any], object],
    afterwards: Callable[[VsphereDriver, Any], None],
) -> int:
    """Kill the verb before each of its calls, repeat it elsewhere, and check; count the calls."""
    driver = vcenter.driver()
    for step in range(_MOST):
        given = prepare(driver, f"data{step}")
        vcenter.tell(delay_ms=task_ms)
        died = _dies(vcenter, step, verb, given)
        survivor = vcenter.driver()
        verb(survivor, given)
        vcenter.tell(delay_ms=0)
        verb(survivor, given)
        afterwards(survivor, given)
        if not died:
            return step
    raise AssertionError(f"more than {_MOST} calls")


@pytest.fixture(params=[0, 30], ids=["at once", "slowly"])
def task_ms(request: pytest.FixtureRequest) -> int:
    """Return how long tasks take: some outlive the process that began them."""
    return int(request.param)


def _named(driver: VsphereDriver, name: str) -> AnyVolume:
    return volume_of(driver, name, size=Size.parse("16M"))


def _held(driver: VsphereDriver, name: str) -> AnyVolume:
    volume = _named(driver, name)
    driver.attach(volume, driver.node_id())
    return volume


def _attach(driver: VsphereDriver, volume: AnyVolume) -> object:
    return driver.attach(volume, driver.node_id())


def _detach(driver: VsphereDriver, volume: AnyVolume) -> None:
    driver.detach(volume, driver.node_id())


def _delete(driver: VsphereDriver, volume: AnyVolume) -> None:
    driver.delete(volume)


def _fence(driver: VsphereDriver, volume: AnyVolume) -> object:
    return driver.fence(volume, driver.node_id())


def _expand(driver: VsphereDriver, volume: AnyVolume) -> None:
    driver.expand(volume, Size.parse("64M"))


def test_create(vcenter: Vcenter, task_ms: int) -> None:
    """One file and one disk, kept, whatever was done before."""

    def afterwards(driver: VsphereDriver, name: str) -> None:
        assert len(vcenter.files()) == len(vcenter.disks()) == 1
        assert vcenter.disks()[0]["kept"] is True
        driver.delete(_named(driver, name))
        assert vcenter.nothing()

    calls = _killed_everywhere(vcenter, task_ms, lambda _, name: name, _named, afterwards)
    assert calls >= 10


def test_attach(vcenter: Vcenter, task_ms: int) -> None:
    """The disk is at the machine, once."""

    def afterwards(driver: VsphereDriver, volume: AnyVolume) -> None:
        assert [each["held_by"] for each in vcenter.disks()] == [[NODES[0]]]
        driver.detach(volume, driver.node_id())
        driver.delete(volume)

    calls = _killed_everywhere(
        vcenter,
        task_ms,
        _named,
        _attach,
        afterwards,
    )
    assert calls >= 10
    assert vcenter.tell()["machines"][NODES[0]]["disks"] == 1


def test_detach(vcenter: Vcenter, task_ms: int) -> None:
    """The disk is at no machine, and there."""

    def afterwards(driver: VsphereDriver, volume: AnyVolume) -> None:
        assert [each["held_by"] for each in vcenter.disks()] == [[]]
        driver.delete(volume)

    calls = _killed_everywhere(
        vcenter,
        task_ms,
        _held,
        _detach,
        afterwards,
    )
    assert calls >= 6


def test_delete(vcenter: Vcenter, task_ms: int) -> None:
    """Nothing is left."""

    def afterwards(_: VsphereDriver, __: AnyVolume) -> None:
        assert vcenter.nothing()

    calls = _killed_everywhere(vcenter, task_ms, _named, _delete, afterwards)
    assert calls >= 8


def test_fence(vcenter: Vcenter, task_ms: int) -> None:
    """The machine lost the disk, and was off when it did."""

    def afterwards(driver: VsphereDriver, volume: AnyVolume) -> None:
        assert [each["held_by"] for each in vcenter.disks()] == [[]]
        assert vcenter.power(NODES[0]) == "poweredOff"
        vcenter.tell(machine=NODES[0], power="poweredOn")
        driver.delete(volume)

    calls = _killed_everywhere(
        vcenter,
        task_ms,
        _held,
        _fence,
        afterwards,
    )
    assert calls >= 10


def test_expand(vcenter: Vcenter, task_ms: int) -> None:
    """The disk is as large as was asked for."""

    def afterwards(driver: VsphereDriver, volume: AnyVolume) -> None:
        assert list(vcenter.tell()["files"].values()) == [64]
        driver.delete(volume)

    calls = _killed_everywhere(
        vcenter,
        task_ms,
        _named,
        _expand,
        afterwards,
    )
    assert calls >= 6


def test_snapshot(vcenter: Vcenter, task_ms: int) -> None:
    """One snapshot, even where the task of a process that died took one, too."""

    def verb(driver: VsphereDriver, volume: AnyVolume) -> None:
        driver.create_snapshot(volume, "monday")

    def afterwards(driver: VsphereDriver, volume: AnyVolume) -> None:
        assert [each["snapshots"] for each in vcenter.disks()] == [1]
        driver.delete_snapshot(volume, "monday")
        assert [each["snapshots"] for each in vcenter.disks()] == [0]
        driver.delete(volume)

    assert _killed_everywhere(vcenter, task_ms, _named, verb, afterwards) >= 6


def test_volume_from_a_snapshot(vcenter: Vcenter, task_ms: int) -> None:
    """Two files and two disks, under two UUIDs, kept if their machine is destroyed."""

    def taken(driver: VsphereDriver, name: str) -> AnyVolume:
        volume = _named(driver, name)
        driver.create_snapshot(volume, "monday")
        return volume

    def verb(driver: VsphereDriver, origin: AnyVolume) -> str:
        return driver.clone_snapshot(origin, "monday", f"new-{origin.name}", VsphereOptions())

    def afterwards(driver: VsphereDriver, origin: AnyVolume) -> None:
        assert len(vcenter.files()) == len(vcenter.disks()) == 2
        assert all(each["kept"] for each in vcenter.disks())
        handle = verb(driver, origin)
        copy = Volume(f"new-{origin.name}", "", handle, AccessMode.SINGLE_WRITER, VsphereOptions())
        for volume in (copy, origin):
            driver.delete(volume)
        assert vcenter.nothing()

    assert _killed_everywhere(vcenter, task_ms, taken, verb, afterwards) >= 12


def test_clone(vcenter: Vcenter, task_ms: int) -> None:
    """Two files and two disks, and no half copy."""

    def verb(driver: VsphereDriver, origin: AnyVolume) -> str:
        return driver.clone(origin, f"copy-{origin.name}", VsphereOptions())

    def afterwards(driver: VsphereDriver, origin: AnyVolume) -> None:
        assert len(vcenter.files()) == len(vcenter.disks()) == 2
        name = f"copy-{origin.name}"
        handle = verb(driver, origin)
        copy = Volume(name, "", handle, AccessMode.SINGLE_WRITER, VsphereOptions())
        driver.delete(copy)
        driver.delete(origin)
        assert vcenter.nothing()

    assert _killed_everywhere(vcenter, task_ms, _named, verb, afterwards) >= 15
