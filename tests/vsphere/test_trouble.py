"""Trouble between driver and vCenter makes no duplicate, loses nothing, and is told in words.

Each verb is tried with each kind of trouble at each method that it calls.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vsphere.conftest import volume_of
from tests.vsphere.vcenter import NODES, Vcenter
from volplug.deadline import SystemClock, clock
from volplug.sdk import (
    AccessDenied,
    Busy,
    DeadlineExceeded,
    Exhausted,
    HostError,
    Secret,
    Size,
    Unavailable,
    Unsupported,
    VolplugError,
    Volume,
    VolumeInUse,
    deadline,
)
from volplug.testing import FakeClock
from volplug_vsphere import VsphereDriver, VsphereOptions

AnyVolume = Volume[VsphereOptions]

_PASSING = ("503", "429", "500", "reset", "lost", "expired", "TaskInProgress")


@pytest.fixture(autouse=True)
def patience() -> Iterator[FakeClock]:
    """Let pauses pass at once."""
    turned = FakeClock()
    with clock(turned):
        yield turned


def _lifecycle(driver: VsphereDriver, vcenter: Vcenter) -> None:
    """Take a volume through all verbs, checking after each what there is."""
    volume = volume_of(driver)
    assert len(vcenter.disks()) == len(vcenter.files()) == 1
    source = driver.attach(volume, driver.node_id())
    assert vcenter.disks()[0]["held_by"] == [NODES[0]]
    assert driver.attach(volume, driver.node_id()) == source
    driver.expand(volume, Size.parse("2G"))
    assert [each.node_id for each in driver.attachments(volume)] == [driver.node_id()]
    driver.fence(volume, driver.node_id())
    assert vcenter.disks()[0]["held_by"] == []
    vcenter.tell(machine=NODES[0], power="poweredOn")
    driver.attach(volume, driver.node_id())
    driver.detach(volume, driver.node_id())
    assert vcenter.disks()[0]["held_by"] == []
    driver.clone(volume, "copy", VsphereOptions())
    assert len(vcenter.disks()) == len(vcenter.files()) == 2
    driver.delete(volume_of(driver, "copy", size=Size.parse("2G")))
    driver.delete(volume)
    assert vcenter.nothing()


@pytest.mark.parametrize("kind", _PASSING)
def test_trouble_at_any_method_passes(vcenter: Vcenter, kind: str) -> None:
    """One failure of each method that there is, at every place in turn: all verbs still do it."""
    _lifecycle(vcenter.driver(), vcenter)
    methods = sorted(vcenter.calls())
    assert len(methods) >= 15
    if kind == "TaskInProgress":
        methods = [method for method in methods if method.endswith("_Task")]
    for first in range(0, len(methods), 3):  # three at once, for a verb is tried six times
        for method in methods[first : first + 3]:
            vcenter.trouble(kind, method)
        _lifecycle(vcenter.driver(), vcenter)


@pytest.mark.parametrize("kind", ["503", "lost", "expired"])
def test_trouble_again_and_again_passes(vcenter: Vcenter, kind: str) -> None:
    """Every third call fails, whatever it is."""
    driver = vcenter.driver()
    for _ in range(4):
        vcenter.trouble(kind, times=2)
        _lifecycle(driver, vcenter)


@pytest.mark.parametrize("kind", ["503", "reset", "500"])
def test_lasting_trouble_is_told(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume, kind: str
) -> None:
    """A vCenter that stays sick is Unavailable, by name, after a handful of tries."""
    vcenter.trouble(kind, times=1000)
    before = sum(vcenter.calls().values())
    with pytest.raises(Unavailable, match=rf"{driver.config.server} does not answer as it should"):
        driver.attach(volume, driver.node_id())
    assert sum(vcenter.calls().values()) - before < 20


def test_backing_off_takes_longer_each_time(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume, patience: FakeClock
) -> None:
    """Between tries the driver waits, longer and longer, and all threads with it."""
    vcenter.trouble("503", times=1000)
    before = patience.now()
    with pytest.raises(Unavailable):
        driver.delete(volume)
    first = patience.now() - before
    assert 2 < first < 20
    with pytest.raises(Unavailable):
        driver.delete(volume)
    assert patience.now() - before - first > 1.5 * first


def test_backing_off_ends_with_the_deadline(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume, patience: FakeClock
) -> None:
    """No pause is longer than what is left."""
    vcenter.trouble("503", times=1000)
    before = patience.now()
    with pytest.raises(DeadlineExceeded, match="ran out of time"), deadline(1):
        driver.delete(volume)
    assert patience.now() - before < 1.1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("NoPermission", AccessDenied, "add that privilege to its role"),
        ("NoDiskSpace", Exhausted, "has no room"),
        ("HostNotConnected", Unavailable, "cannot reach what it needs"),
        ("MethodNotFound", Unsupported, "vSphere 6.7"),
        ("InvalidArgument", HostError, "refused: InvalidArgument"),
    ],
)
def test_fault_has_its_sentence(
    vcenter: Vcenter, driver: VsphereDriver, fault: str, kind: type[VolplugError], words: str
) -> None:
    """What vCenter refuses for good is not tried again, and has a class and a next step."""
    vcenter.trouble(fault, "CreateVirtualDisk_Task")
    with pytest.raises(kind, match=words) as caught:
        driver.create("data", VsphereOptions())
    assert "\n" not in str(caught.value)
    assert vcenter.calls()["CreateVirtualDisk_Task"] == 1
    assert vcenter.files() == []


def test_busy_machine_is_told(vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume) -> None:
    """A machine that somebody else's long task keeps busy is Busy in the end."""
    vcenter.trouble("TaskInProgress", "AttachDisk_Task", times=1000)
    with pytest.raises(Busy, match="TaskInProgress"):
        driver.attach(volume, driver.node_id())


def test_no_room_is_told(driver: VsphereDriver, vcenter: Vcenter) -> None:
    """A full datastore is Exhausted, and leaves nothing behind."""
    driver.create("large", VsphereOptions(size=Size.parse("60T")))
    with pytest.raises(Exhausted, match="NoDiskSpace"):
        driver.create("larger", VsphereOptions(size=Size.parse("60T")))
    assert len(vcenter.files()) == 1


def test_wrong_password_is_tried_once(vcenter: Vcenter, tmp_path: Path) -> None:
    """A wrong password is not tried again, for that locks accounts; it is in no sentence."""
    wrong = tmp_path / "wrong"
    wrong.write_text("hunter2\n")
    driver = vcenter.driver(password=Secret(f"file:{wrong}"))
    with pytest.raises(AccessDenied, match="refuses the user 'volplug'") as caught:
        driver.create("data", VsphereOptions())
    assert "hunter2" not in str(caught.value)
    assert vcenter.calls()["Login"] == 1
    wrong.write_text(vcenter.password.read_text())
    assert driver.create("data", VsphereOptions())


def test_unknown_certificate_is_refused(vcenter: Vcenter) -> None:
    """A vCenter whose certificate nobody vouches for is never told the password."""
    driver = vcenter.driver(ca_file=None)
    with pytest.raises(Unavailable, match=r"not trusted.*set ca_file"):
        driver.create("data", VsphereOptions())
    assert vcenter.calls()["Login"] == 0


def test_nobody_there_is_told(vcenter: Vcenter) -> None:
    """No vCenter at that address is Unavailable."""
    driver = vcenter.driver(server="127.0.0.1:9")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 does not answer"):
        driver.create("data", VsphereOptions())


def test_one_session_is_shared_and_made_again(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """All verbs share one session; when it has ended, one login makes the next."""
    for _ in range(3):
        driver.attachments(volume)
    assert vcenter.calls()["Login"] == 1
    vcenter.tell(expire=True)
    driver.attachments(volume)
    assert vcenter.calls()["Login"] == 2


def _verbs(driver: VsphereDriver, volume: AnyVolume) -> dict[str, Callable[[], object]]:
    return {
        "create": lambda: driver.create("another", VsphereOptions()),
        "attach": lambda: driver.attach(volume, driver.node_id()),
        "delete": lambda: driver.delete(volume),
    }


@pytest.mark.parametrize("verb", ["create", "attach", "delete"])
def test_silence_ends_with_the_deadline(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume, verb: str
) -> None:
    """A vCenter that takes a call and never answers holds nobody longer than their deadline."""
    vcenter.trouble("silent", times=1000)
    began = time.monotonic()
    with clock(SystemClock()), pytest.raises(DeadlineExceeded), deadline(0.5):
        _verbs(driver, volume)[verb]()
    assert time.monotonic() - began < 5


def test_disk_in_use_elsewhere_is_told(
    vcenter: Vcenter, driver: VsphereDriver, volume: AnyVolume
) -> None:
    """A lock that no visible machine explains is still a refusal, never an attach."""
    vcenter.trouble("FileLocked", "DeleteVStorageObject_Task")
    with pytest.raises(VolumeInUse, match="see who has it attached"):
        driver.delete(volume)
    assert len(vcenter.files()) == 1
