"""A vCenter for these tests, and drivers on its machines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tested
from tests.vsphere.vcenter import NODES, Vcenter, build, running
from volplug.sdk import AccessMode, Volume
from volplug_vsphere import VsphereDriver, VsphereOptions


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled simulator."""
    version = tested.package("golang-github-vmware-govmomi-dev")
    tested.against(["vsphere"], f"a strict vcsim over govmomi {version}", "tests/vsphere/")
    return build(tmp_path_factory.mktemp("vcsim"))


@pytest.fixture(autouse=True)
def polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the state of tasks more often than a real vCenter should be asked."""
    monkeypatch.setattr("volplug_vsphere._reading.POLL_S", 0.01)


@pytest.fixture(scope="session")
def shared_vcenter(simulator: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vcenter]:
    """Return a vCenter for tests that clean up after themselves."""
    with running(simulator, tmp_path_factory.mktemp("shared")) as found:
        yield found


@pytest.fixture
def vcenter(simulator: Path, tmp_path: Path) -> Iterator[Vcenter]:
    """Return a vCenter with four machines, all running, and a datastore."""
    with running(simulator, tmp_path) as found:
        yield found


@pytest.fixture
def driver(vcenter: Vcenter) -> VsphereDriver:
    """Return the driver of the first machine."""
    return vcenter.driver()


@pytest.fixture
def other(vcenter: Vcenter) -> VsphereDriver:
    """Return the driver of the second machine."""
    return vcenter.driver(NODES[1])


def volume_of(driver: VsphereDriver, name: str = "data", **options: Any) -> Volume[VsphereOptions]:
    """Create a volume, or find it again."""
    said = VsphereOptions(**options)
    handle = driver.create(name, said)
    return Volume(name, "vsphere", handle, AccessMode.SINGLE_WRITER, said)


@pytest.fixture
def volume(driver: VsphereDriver) -> Volume[VsphereOptions]:
    """Return a volume that was just made."""
    return volume_of(driver)
