"""The Gluster drivers on a real replica-3 volume, mounted through the real FUSE client."""

import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.machine import need_program
from tests.rigs.gluster import Gluster
from tests.rigs.network import Network, run, stop, until
from tests.rigs.service import Service, unified
from tests.shares.managed import mount_command, mounted
from volplug.deadline import deadline
from volplug.linux import LinuxHost, cgroup
from volplug.options import parse
from volplug.sdk import (
    AccessMode,
    InvalidOptions,
    OnDelete,
    SubdirectoryOptions,
    VolplugError,
    Volume,
)
from volplug.testing import DriverContract
from volplug_glusterfs import (
    GlusterConfig,
    GlusterDriver,
)

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("open_to_all")]


@pytest.fixture
def config(gluster: Gluster) -> GlusterConfig:
    """Give the plain driver's configuration."""
    return GlusterConfig(servers=(gluster.host.address,), volume=gluster.volume, ping_timeout_s=5)


class TestContract(DriverContract):
    """The plain driver keeps the contract."""

    @pytest.fixture
    def driver(self, config: GlusterConfig) -> GlusterDriver:
        """Give the driver."""
        return GlusterDriver(config)

    @pytest.fixture
    def options(self) -> SubdirectoryOptions:
        """Give plain options."""
        return SubdirectoryOptions()


def test_volume_is_mounted(config: GlusterConfig, place: Path) -> None:
    """What the driver answers can be mounted, is the volume's own directory, and can be written."""
    driver = GlusterDriver(config)
    options = SubdirectoryOptions(
        uid=1001, mode=parse(SubdirectoryOptions, {"mode": "0750"}, what="t").mode
    )
    handle = driver.create("data", options)
    volume = Volume("data", "gluster", handle, AccessMode.SHARED, options)
    share = driver.attach(volume, "anybody")
    run(*mount_command(share, place))
    assert mounted(place)
    found = place.stat()
    assert (found.st_uid, found.st_mode & 0o7777) == (1001, 0o750)
    (place / "file").write_text("x")
    assert driver.volumes.tree.read(f"v/{handle}/file") == "x"
    run("umount", place)
    driver.delete(volume)


def test_mount_survives_volplug(config: GlusterConfig, tmp_path: Path) -> None:
    """With all of volplug's cgroup killed, the client goes on, and the volume can be written."""
    driver, options = GlusterDriver(config), SubdirectoryOptions()
    volume = Volume("data", "gluster", driver.create("data", options), AccessMode.SHARED, options)
    programs = need_program("mount.glusterfs", "glusterfs-client").parent
    service = Service(tmp_path)
    path = service.stage(driver.attach(volume, "anybody"), programs)
    try:
        assert len(service.processes()) == 1, "the client is in there with us"
        service.end()
        assert mounted(path)
        (path / "file").write_text("x")
        assert driver.volumes.tree.read(f"v/{volume.handle}/file") == "x"
    finally:
        service.end()
        LinuxHost(tmp_path / "state", tmp_path / "mounts").unstage("v")
        with suppress(OSError):
            (unified() / cgroup.NAME).rmdir()
    driver.delete(volume)


def test_first_server_may_be_down(gluster: Gluster, place: Path, network: Network) -> None:
    """With the first server gone the volume is made and mounted through the second."""
    servers = (f"{network.prefix}.99", gluster.host.address)
    config = GlusterConfig(servers=servers, volume=gluster.volume, ping_timeout_s=5)
    driver = GlusterDriver(config)
    options = SubdirectoryOptions()
    volume = Volume("d", "g", driver.create("d", options), AccessMode.SHARED, options)
    started = time.monotonic()
    with deadline(30):
        run(*mount_command(driver.attach(volume, "n"), place))
    assert mounted(place)
    assert time.monotonic() - started < 30
    run("umount", place)
    driver.delete(volume)


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("noatime", True),
        ("log-file=/etc/passwd", False),
        ("xlator-option=x", False),
        ("volfile=/tmp/x", False),
        ("bind", False),
        ("attribute-timeout=3", False),
        ("noatime=1", False),
        ("", False),
    ],
)
def test_users_set_what_operators_allow(config: GlusterConfig, given: str, answer: bool) -> None:
    """A mount option reaches the client only if its operator, and the driver, allow it."""
    driver = GlusterDriver(config)
    options = SubdirectoryOptions(mount_options=(given,))
    if answer:
        handle = driver.create("words", options)
        volume = Volume("words", "g", handle, AccessMode.SHARED, options)
        assert given in driver.attach(volume, "n").mount_options
        driver.delete(volume)
    else:
        with pytest.raises(InvalidOptions, match="mount option"):
            driver.create("words", options)


def test_operator_cannot_allow_what_is_dangerous(gluster: Gluster) -> None:
    """Options that write files or name programs cannot be allowed, or set, by configuration."""
    servers = (gluster.host.address,)
    for config in (
        GlusterConfig(servers=servers, volume="vol", allowed_options=("log-file",)),
        GlusterConfig(servers=servers, volume="vol", mount_options=("volfile=/x",)),
    ):
        with pytest.raises(InvalidOptions):
            GlusterDriver(config)


def test_silence_is_told_in_time(config: GlusterConfig, gluster: Gluster) -> None:
    """With the bricks stopped every verb is refused inside its deadline; then all works again."""
    driver = GlusterDriver(config)
    options = SubdirectoryOptions()
    volume = Volume("d", "g", driver.create("d", options), AccessMode.SHARED, options)
    stop(gluster.bricks())
    try:
        for call in (
            lambda: driver.create("new", options),
            lambda: driver.attach(volume, "n"),
            lambda: driver.delete(volume),
        ):
            started = time.monotonic()
            with deadline(2), pytest.raises(VolplugError):
                call()
            assert time.monotonic() - started < 30
    finally:
        gluster.send_bricks(signal.SIGCONT)
    until(lambda: _works(driver, volume), "the bricks to be back", 40)
    driver.delete(volume)


def _works(driver: GlusterDriver, volume: Volume[SubdirectoryOptions]) -> bool:
    try:
        driver.attach(volume, "n")
    except VolplugError:
        return False
    return True


def test_deleted_data_is_kept_as_configured(config: GlusterConfig) -> None:
    """The operator's on_delete holds unless a volume says otherwise."""
    driver = GlusterDriver(GlusterConfig(**{**vars(config), "on_delete": OnDelete.RETAIN}))
    options = SubdirectoryOptions()
    volume = Volume("kept", "g", driver.create("kept", options), AccessMode.SHARED, options)
    assert driver.describe(volume)["on_delete"] == "retain"
    driver.delete(volume)
    kept = [one.name for one in driver.volumes.tree.entries(".volplug/retained")]
    assert any(name.startswith(volume.handle) for name in kept)
