"""The Gluster driver that may run the gluster command, on a real replica-3 volume: sizes, rules."""

from contextlib import suppress
from pathlib import Path

import pytest

from tests.rigs.gluster import Gluster
from tests.rigs.network import Network, run, until
from tests.shares.conftest import gluster_tree
from tests.shares.managed import made, mount_command, mounted
from volplug.deadline import deadline
from volplug.options import Size
from volplug.sdk import (
    DeadlineExceeded,
    Exhausted,
    InvalidOptions,
    Unavailable,
    Unsupported,
    VolplugError,
)
from volplug.testing import DriverContract, ExpandableContract, FencingContract
from volplug_glusterfs import (
    ManagedGlusterConfig,
    ManagedGlusterDriver,
    ManagedGlusterOptions,
)

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("open_to_all")]


@pytest.mark.timeout(300)  # fences run a dozen commands each, beside other tests
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


@pytest.mark.usefixtures("managed_config")  # which turns quotas on
def test_no_brick_keeps_what_was_moved_elsewhere(gluster: Gluster) -> None:
    """A deleted directory is gone from every brick, though quotas make one refuse now and then.

    Before we looked for that, a hundred moves were right in two of three cases.
    """
    tree = gluster_tree(gluster, gluster.volume)
    for number in range(300):
        with suppress(FileExistsError):
            tree.mkdir(f"from{number // 100}")
            tree.mkdir(f"to{number // 100}")
        tree.mkdir(f"from{number // 100}/{number}")
        tree.rename(f"from{number // 100}/{number}", f"to{number // 100}/{number}")
    for brick in range(3):
        place = gluster.place / f"{gluster.volume}{brick}"
        assert list(place.glob("from*/*")) == []
        assert len(list(place.glob("to*/*"))) == 300


_TOO_EARLY = """
if [ "${@: -3:1}" = limit-usage ] && [ $(wc -l < %(count)s) -lt %(times)d ]; then
    echo >> %(count)s
    echo '<cliOutput><opRet>-1</opRet><opErrstr>Failed to find the directory /var/run/gluster/'
    echo 'vol_quota_limit/v/x. Reason : Transport endpoint is not connected</opErrstr></cliOutput>'
else
    exec "$@"
fi
"""
"""A gluster command whose own mount is not there yet, as it was once said beside other tests."""


def _early(tmp_path: Path, config: ManagedGlusterConfig, times: int) -> ManagedGlusterDriver:
    """Return a driver whose first limits come too early."""
    script, count = tmp_path / "early.sh", tmp_path / "early"
    script.write_text(_TOO_EARLY % {"count": count, "times": times})
    count.touch()
    admin = ("bash", str(script), *config.admin)
    return ManagedGlusterDriver(ManagedGlusterConfig(**{**vars(config), "admin": admin}))


def test_limit_that_comes_too_early_is_set_again(
    managed_config: ManagedGlusterConfig, tmp_path: Path
) -> None:
    """The command's own mount is still on its way in or out: it is there a moment later."""
    driver = _early(tmp_path, managed_config, 2)
    volume = made(driver, "early", size="64MB")
    assert len((tmp_path / "early").read_text()) == 2
    driver.delete(volume)


def test_limit_that_stays_too_early_is_told(
    managed_config: ManagedGlusterConfig, tmp_path: Path
) -> None:
    """Whoever waited in vain reads what the command said."""
    driver = _early(tmp_path, managed_config, 1000)
    with deadline(3), pytest.raises(DeadlineExceeded, match="endpoint is not connected"):
        made(driver, "early", size="64MB")
    assert (tmp_path / "early").read_text()
    made(driver, "early")
