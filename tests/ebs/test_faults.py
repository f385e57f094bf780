"""EC2 on a bad day: throttled, failing, silent, late. No duplicate, no loss, and clear words."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ebs.cloud import Cloud
from tests.ebs.conftest import MakeVolume
from volplug.sdk import (
    AccessDenied,
    DeadlineExceeded,
    Exhausted,
    Secret,
    Size,
    Unavailable,
    VolplugError,
    deadline,
)
from volplug_ebs import EbsConfig, EbsDriver, EbsOptions

_FAULTS = ("throttle", "broken", "lost")


@pytest.mark.parametrize("kind", _FAULTS)
def test_whole_life_under_faults(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str], kind: str
) -> None:
    """With each order and question failing once, there is one volume, attached, larger, gone."""
    cloud.fault(kind, "CreateVolume")
    volume = make()
    cloud.fault(kind, "DescribeVolumes")
    assert driver.create(volume.name, volume.options) == volume.handle
    assert [disk["id"] for disk in cloud.disks(volume.name)] == [volume.handle]
    cloud.fault(kind, "AttachVolume")
    driver.attach(volume, nodes[0])
    assert cloud.disks(volume.name)[0]["holders"] == [nodes[0]]
    cloud.fault(kind, "ModifyVolume")
    driver.expand(volume, Size.parse("2G"))
    assert (cloud.disks(volume.name)[0]["changes"], cloud.disks(volume.name)[0]["size"]) == (1, 2)
    cloud.fault(kind, "CopyVolumes")
    clone = driver.clone(volume, f"{volume.name}-copy", replace(volume.options, size=None))
    assert [disk["id"] for disk in cloud.disks(f"{volume.name}-copy")] == [clone]
    cloud.fault(kind, "DetachVolume")
    driver.detach(volume, nodes[0])
    assert cloud.disks(volume.name)[0]["holders"] == []
    cloud.fault(kind, "DeleteVolume")
    driver.delete(volume)
    assert cloud.disks(volume.name) == []


def test_answer_after_the_deadline(cloud: Cloud, driver: EbsDriver, options: EbsOptions) -> None:
    """A create whose answer came too late is out of time, and the next one finds its volume."""
    for number in range(30):
        name = f"late-answer-{number}"
        cloud.fault("late", "CreateVolume")
        with deadline(0.9), pytest.raises(DeadlineExceeded):
            driver.create(name, options)
        if found := cloud.disks(name):  # else all the time went to the questions before
            break
    [disk] = found
    assert driver.create(name, options) == disk["id"]


def test_throttled_until_the_deadline(cloud: Cloud, driver: EbsDriver, options: EbsOptions) -> None:
    """Who is throttled waits no longer than it may, asks seldom, and is told what it waited for."""
    cloud.fault("throttle", "*", times=1000)
    with deadline(1.5), pytest.raises(DeadlineExceeded, match="limits or fails our requests"):
        driver.create("throttled", options)
    assert len(cloud.calls()) <= 6


def test_one_pause_for_all_threads(cloud: Cloud, driver: EbsDriver, options: EbsOptions) -> None:
    """Eight threads that are throttled ask about as seldom as one does."""
    cloud.fault("throttle", "*", times=1000)

    def create(number: int) -> None:
        with deadline(1.5), pytest.raises(DeadlineExceeded):
            driver.create(f"throttled-{number}", options)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(8)))
    assert len(cloud.calls()) <= 8 * 5, "a thread of its own would ask five times or more"


def test_ec2_that_is_down(cloud: Cloud, driver: EbsDriver, options: EbsOptions) -> None:
    """Endless failures are Unavailable in the end, and nothing is made."""
    cloud.fault("broken", "*", times=1000)
    with pytest.raises(Unavailable, match="EC2 failed to describe volumes"):
        driver.create("down", options)
    assert cloud.disks("down") == []


def test_nothing_listens(config: EbsConfig, options: EbsOptions) -> None:
    """An address where nobody answers is Unavailable, with the address."""
    driver = EbsDriver(replace(config, endpoint="http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        driver.create("nobody", options)


def test_expired_session_is_made_anew(cloud: Cloud, driver: EbsDriver, options: EbsOptions) -> None:
    """Keys that expired are read again, once; then the operator is told."""
    cloud.fault("expired", "CreateVolume")
    assert driver.create("expired", options) == cloud.disks("expired")[0]["id"]
    cloud.fault("expired", "DescribeVolumes", times=1000)
    with pytest.raises(AccessDenied, match="RequestExpired"):
        driver.create("expired", options)


def test_rotated_keys_are_read_when_the_old_ones_expire(
    cloud: Cloud, driver: EbsDriver, options: EbsOptions, key_file: Path
) -> None:
    """No restart is needed: the file is looked at again, at that moment and not before."""
    driver.create("rotated", options)
    key_file.unlink()
    driver.create("rotated", options)
    cloud.fault("expired", "DescribeVolumes")
    with pytest.raises(VolplugError, match=str(key_file)):
        driver.create("rotated", options)
    key_file.write_text("rotated")
    driver.create("rotated", options)


def test_refused_rights(cloud: Cloud, driver: EbsDriver, options: EbsOptions) -> None:
    """A missing right names the action and the page that lists the rights."""
    cloud.fault("denied", "CreateVolume", times=1000)
    with pytest.raises(AccessDenied, match=r"refused to create volume.*docs/backends/ebs\.md"):
        driver.create("denied", options)


def test_secret_that_is_not_there(config: EbsConfig, options: EbsOptions) -> None:
    """A key whose file is missing is named by its place, and no part of a key is shown."""
    driver = EbsDriver(replace(config, secret_key=Secret("file:/nowhere/key")))
    with pytest.raises(VolplugError, match="file:/nowhere/key"):
        driver.create("secret", options)


def test_quota_edge(cloud: Cloud, driver: EbsDriver, options: EbsOptions) -> None:
    """A full account is Exhausted; a volume that is there already is found all the same."""
    handle = driver.create("quota", options)
    cloud.set(quota=0)
    assert driver.create("quota", options) == handle
    with pytest.raises(Exhausted, match="Service Quotas"):
        driver.create("one-too-many", options)


def test_late_answers(
    cloud: Cloud, driver: EbsDriver, make: MakeVolume, nodes: tuple[str, str]
) -> None:
    """What EC2 does not show yet is not taken for absent: nothing is done twice, or left."""
    cloud.set(lag_s=0.4)
    volume = make()
    assert EbsDriver(driver.config).create(volume.name, volume.options) == volume.handle
    assert len(cloud.disks(volume.name)) == 1
    driver.attach(volume, nodes[0])
    driver.detach(volume, nodes[0])
    cloud.ec2.attach_volume(VolumeId=volume.handle, InstanceId=nodes[0], Device="/dev/xvdba")
    driver.detach(volume, nodes[0])
    assert cloud.disks(volume.name)[0]["holders"] == []
    cloud.ec2.attach_volume(VolumeId=volume.handle, InstanceId=nodes[0], Device="/dev/xvdba")
    driver.fence(volume, nodes[0])
    assert cloud.disks(volume.name)[0]["holders"] == []
    driver.expand(volume, Size.parse("2G"))
    assert cloud.disks(volume.name)[0]["changes"] == 1


def test_missing_library_is_a_sentence() -> None:
    """Without boto3 volplug goes on, and says which extra brings it."""
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from volplug import registry\n"
        "try: registry.load('ebs')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("Unsupported driver 'ebs' needs the Python module 'boto3")
    assert "pip install 'volplug[ebs]'" in told.stdout
