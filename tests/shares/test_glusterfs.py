"""The Gluster drivers on a real replica-3 volume, mounted through the real FUSE client."""

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.machine import need_program
from tests.rigs.gluster import Gluster
from tests.rigs.network import Network, run, until
from tests.rigs.service import Service, unified
from tests.shares.managed import made, mount_command
from volplug.deadline import deadline
from volplug.linux import LinuxHost, cgroup
from volplug.options import Size, parse
from volplug.sdk import (
    AccessMode,
    Exhausted,
    InvalidOptions,
    OnDelete,
    SubdirectoryOptions,
    Unavailable,
    Unsupported,
    VolplugError,
    Volume,
)
from volplug.testing import DriverContract, ExpandableContract, FencingContract
from volplug_glusterfs import (
    GlusterConfig,
    GlusterDriver,
    ManagedGlusterConfig,
    ManagedGlusterDriver,
    ManagedGlusterOptions,
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


class TestManagedContract(DriverContract, ExpandableContract, FencingContract):
    """The managed driver keeps the contract, and those of its abilities."""

    @pytest.fixture
    def driver(self, managed_config: ManagedGlusterConfig) -> ManagedGlusterDriver:
        """Give the driver."""
        return ManagedGlusterDriver(managed_config)

    @pytest.fixture
    def options(self) -> ManagedGlusterOptions:
        """Give options with a size."""
        return ManagedGlusterOptions(size=Size.parse("64M"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Give a mountpoint."""
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    if f" {place} " in Path("/proc/self/mountinfo").read_text():
        run("umount", "-l", place)


def mounted(place: Path) -> bool:
    """Say whether the kernel has something mounted there."""
    return f" {place} fuse.glusterfs" in Path("/proc/self/mounts").read_text()


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


def test_size_is_a_quota(managed_config: ManagedGlusterConfig, gluster: Gluster) -> None:
    """A volume shows its size, grows, and says honestly how strictly it is kept."""
    driver = ManagedGlusterDriver(managed_config)
    volume = made(driver, "sized", size="32M")
    path = driver._volumes.path(volume.handle)
    assert driver._volumes.tree.statvfs(path).total_bytes <= 32 << 20
    assert driver.describe(volume)["size_enforced"] == "soft"
    assert driver.describe(made(driver, "unsized"))["size_enforced"] == "none"
    driver.expand(volume, Size.parse("64M"))
    assert 60 << 20 < driver._volumes.tree.statvfs(path).total_bytes <= 64 << 20
    for kind in ("soft", "hard"):
        gluster.cli("volume", "quota", gluster.volume, f"{kind}-timeout", "0")
    assert driver.describe(volume)["size_enforced"] == "hard"
    driver.delete(volume)


def test_hard_size_is_not_exceeded(
    managed_config: ManagedGlusterConfig, gluster: Gluster, place: Path
) -> None:
    """Where we say `hard`, a writer gets the size and what was in flight, not all that it asks for.

    How much is in flight depends on the machine: from 0.1 to 2.4 MiB over 8 MiB were seen.
    """
    for kind in ("soft", "hard"):
        gluster.cli("volume", "quota", gluster.volume, f"{kind}-timeout", "0")
    driver = ManagedGlusterDriver(managed_config)
    volume = made(driver, "full", size="8M")
    run(*mount_command(driver.attach(volume, driver.node_id()), place))
    with pytest.raises(OSError, match=r"quota|space") as full:
        _write(place / "big", 80)
    assert full.value.errno in (28, 122)
    assert (place / "big").stat().st_size <= 24 << 20
    run("umount", place)
    driver.delete(volume)


def _write(path: Path, mebibytes: int) -> None:
    with path.open("wb", 0) as file:
        for _ in range(mebibytes):
            file.write(b"x" * (1 << 20))


def test_size_that_cannot_be_kept_is_refused(managed_config: ManagedGlusterConfig) -> None:
    """A size beyond all room is Exhausted; on a backend without quotas it is Unsupported."""
    driver = ManagedGlusterDriver(managed_config)
    with pytest.raises(Exhausted, match="in all"):
        made(driver, "huge", size="900T")
    without = ManagedGlusterConfig(**{**vars(managed_config), "quota": False})
    with pytest.raises(Unsupported, match="quota = true"):
        made(ManagedGlusterDriver(without), "any", size="1G")


def test_only_attached_nodes_can_mount(
    managed_config: ManagedGlusterConfig, gluster: Gluster, place: Path
) -> None:
    """Without attach there is no mount, though the mount program reports success."""
    driver = ManagedGlusterDriver(managed_config)
    volume = made(driver, "private")
    share = driver.attach(volume, driver.node_id())
    driver.detach(volume, driver.node_id())
    with suppress(AssertionError):  # it reports success now and then
        run(*mount_command(share, place))
    until(lambda: not mounted(place), "the client to be refused")
    assert driver.attachments(volume) == []
    assert gluster.host.address
    driver.delete(volume)


def test_nothing_of_others_is_changed(
    managed_config: ManagedGlusterConfig, gluster: Gluster, network: Network
) -> None:
    """Rules for directories that are not ours stay in auth.allow as they are."""
    foreign = f"/({network.address}),/theirs(10.9.9.9)"
    gluster.cli("volume", "set", gluster.volume, "auth.allow", foreign)
    driver = ManagedGlusterDriver(managed_config)
    volume = made(driver, "mine")
    driver.attach(volume, driver.node_id())
    assert "/theirs(10.9.9.9)" in gluster.cli("volume", "get", gluster.volume, "auth.allow")
    driver.delete(volume)
    assert "/theirs(10.9.9.9)" in gluster.cli("volume", "get", gluster.volume, "auth.allow")
    assert volume.handle not in gluster.cli("volume", "get", gluster.volume, "auth.allow")


def test_path_cannot_write_rules(managed_config: ManagedGlusterConfig) -> None:
    """A directory whose name has the punctuation of auth.allow is refused."""
    driver = ManagedGlusterDriver(managed_config)
    for path in ("a(10.0.0.1)", "a,/b", "a|b"):
        with pytest.raises(InvalidOptions, match="path="):
            made(driver, "mine", path=path)
    volume = made(driver, "mine")
    for address in ("10.0.0.1),/(*", "*", "", "host"):
        with pytest.raises(InvalidOptions, match="not the IP address"):
            driver.attach(volume, address)
    driver.delete(volume)


def test_silence_is_told_in_time(config: GlusterConfig, gluster: Gluster) -> None:
    """With the bricks stopped every verb is refused inside its deadline; then all works again."""
    driver = GlusterDriver(config)
    options = SubdirectoryOptions()
    volume = Volume("d", "g", driver.create("d", options), AccessMode.SHARED, options)
    gluster.send_bricks(signal.SIGSTOP)
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


def test_missing_administrator_is_told(managed_config: ManagedGlusterConfig) -> None:
    """A gluster command that cannot reach its daemon is a refusal, not a guess."""
    values = {**vars(managed_config), "admin": ("gluster", "--glusterd-sock=/nonexistent")}
    driver = ManagedGlusterDriver(ManagedGlusterConfig(**values))
    good = ManagedGlusterDriver(managed_config)
    volume = made(good, "d")
    for call in (
        lambda: driver.attach(volume, "10.0.0.1"),
        lambda: driver.fence(volume, "10.0.0.1"),
    ):
        with deadline(20), pytest.raises((Unavailable, VolplugError), match="gluster"):
            call()
    good.delete(volume)


def test_deleted_data_is_kept_as_configured(config: GlusterConfig) -> None:
    """The operator's on_delete holds unless a volume says otherwise."""
    driver = GlusterDriver(GlusterConfig(**{**vars(config), "on_delete": OnDelete.RETAIN}))
    options = SubdirectoryOptions()
    volume = Volume("kept", "g", driver.create("kept", options), AccessMode.SHARED, options)
    assert driver.describe(volume)["on_delete"] == "retain"
    driver.delete(volume)
    kept = [one.name for one in driver.volumes.tree.entries(".volplug/retained")]
    assert any(name.startswith(volume.handle) for name in kept)
