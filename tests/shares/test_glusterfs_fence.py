"""Fences on a real Gluster volume: what the bricks hold is compared, not what a writer saw."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.rigs.gluster import Gluster
from tests.rigs.network import Host, Network, run, until
from tests.rigs.writer import WAYS, Writer
from tests.shares.managed import AnyVolume, made, mount_command
from volplug.deadline import deadline
from volplug.sdk import DeadlineExceeded, Unavailable, VolplugError
from volplug_glusterfs import ManagedGlusterConfig, ManagedGlusterDriver, _fence
from volplug_glusterfs._bricks import Bricks

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("open_to_all")]

_FENCES = 3
_NOBODY = "10.9.9.9"
_NEVER_S = 8.0
"""For which something that must not happen is waited for."""


@pytest.fixture(scope="module")
def gluster(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gluster]:
    """Give a cluster of its own, for one whose brick was killed answers late for a while."""
    cluster = Gluster(network.host(7), tmp_path_factory.mktemp("fenced"))
    yield cluster
    cluster.close()


@pytest.fixture
def driver(managed_config: ManagedGlusterConfig) -> ManagedGlusterDriver:
    """Give the driver."""
    return ManagedGlusterDriver(managed_config)


@pytest.fixture(scope="module")
def node(network: Network) -> Iterator[Host]:
    """Give a node; what it has mounted ends with what runs there."""
    node = network.host(4)
    yield node
    node.send(signal.SIGKILL)


def nodes(driver: ManagedGlusterDriver, volume: AnyVolume) -> list[str]:
    """Return whom the driver lists."""
    return [one.node_id for one in driver.attachments(volume)]


@contextmanager
def writing(
    driver: ManagedGlusterDriver, volume: AnyVolume, node: Host, place: Path, *ways: str
) -> Iterator[Writer]:
    """Attach the volume to a node that writes to it, in those ways."""
    place.mkdir(exist_ok=True)
    mount = mount_command(driver.attach(volume, node.address), place)
    writer = Writer(node, mount, place, *ways)
    try:
        writer.writes()
        yield writer
    finally:
        writer.stop()


@contextmanager
def mounted(driver: ManagedGlusterDriver, volume: AnyVolume, place: Path) -> Iterator[Path]:
    """Have the volume mounted on this machine."""
    place.mkdir()
    run(*mount_command(driver.attach(volume, driver.node_id()), place))
    try:
        yield place
    finally:
        run("umount", "-l", place)


def held(gluster: Gluster, volume: AnyVolume) -> dict[tuple[int, str], tuple[int, int]]:
    """Return what the bricks themselves have of a volume: each file's size and last change."""
    found = {}
    for number in range(3):
        for file in (gluster.place / f"{gluster.volume}{number}" / "v" / volume.handle).iterdir():
            stat = file.stat()
            found[number, file.name] = (stat.st_size, stat.st_mtime_ns)
    return found


@pytest.mark.timeout(300)
def test_nothing_reaches_the_bricks_after_a_fence(
    driver: ManagedGlusterDriver, gluster: Gluster, node: Host, tmp_path: Path
) -> None:
    """What the bricks hold when fence returns is what they hold after each writer's errors.

    The node's other volume goes on, and so does the other node of the volume.
    """
    volume, spare = made(driver, "cut"), made(driver, "uncut")
    with (
        writing(driver, spare, node, tmp_path / "uncut") as spared,
        mounted(driver, volume, tmp_path / "here") as here,
    ):
        for number in range(_FENCES):
            with writing(driver, volume, node, tmp_path / "cut", *WAYS) as doomed:
                assert nodes(driver, volume) == sorted([node.address, driver.node_id()])
                proof = driver.fence(volume, node.address)
                held_then = held(gluster, volume)
                doomed.fails()
                spared.writes()
                assert held(gluster, volume) == held_then
            assert node.address in proof
            assert nodes(driver, volume) == [driver.node_id()]
            (here / f"mine{number}").write_text("still here")
    for one in (volume, spare):
        driver.delete(one)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [1, 3])
def test_a_fence_waits_for_bricks_that_do_not_know_of_it_yet(
    driver: ManagedGlusterDriver, gluster: Gluster, node: Host, tmp_path: Path, count: int
) -> None:
    """The command for the new rule has ended, and those bricks still take what the node writes."""
    volume = made(driver, "late")
    driver.fence(volume, _NOBODY)  # the bricks let a witness in from now on
    with (
        writing(driver, volume, node, tmp_path / "late") as doomed,
        ThreadPoolExecutor(1) as other,
    ):
        with gluster.uninformed(gluster.bricks()[:count]):
            fence = other.submit(driver.fence, volume, node.address)
            until(lambda: node.address not in rules(gluster, volume), "the rule's end")
            if count == 3:
                doomed.writes()
            assert not wait([fence], _NEVER_S).done
            assert nodes(driver, volume) == [node.address]
        fence.result()
        held_then = held(gluster, volume)
        doomed.fails()
        assert held(gluster, volume) == held_then
    driver.delete(volume)


def rules(gluster: Gluster, volume: AnyVolume) -> str:
    """Return who may mount the volume's directory."""
    found = re.search(rf"[ ,]/v/{volume.handle}\(([^()]*)\)", allowed(gluster))
    return found[1] if found else ""


@pytest.mark.timeout(300)
def test_fence_that_ran_out_of_time_is_no_proof(
    driver: ManagedGlusterDriver,
    gluster: Gluster,
    node: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a call does not end there is no proof, and a node without a rule is still listed."""
    volume, spare = made(driver, "waits"), made(driver, "uncut")
    driver.attach(volume, node.address)
    with (
        writing(driver, spare, node, tmp_path / "uncut"),
        mounted(driver, volume, tmp_path / "here") as here,
    ):
        with waiting_call(gluster, here / "lock"):
            with monkeypatch.context() as shorter:
                shorter.setattr(Bricks, "drain", _drain_shortly)
                with pytest.raises(DeadlineExceeded, match="waits for a lock"):
                    driver.fence(volume, node.address)
            assert f"/v/{volume.handle}({driver.node_id()})" in allowed(gluster)
            assert nodes(driver, volume) == sorted([node.address, driver.node_id()])
        driver.fence(volume, node.address)
        assert nodes(driver, volume) == [driver.node_id()]
    for one in (volume, spare):
        driver.delete(one)
        assert one.handle not in allowed(gluster)


@contextmanager
def waiting_call(gluster: Gluster, file: Path) -> Iterator[None]:
    """Have a call in the bricks that does not end: one that waits for a lock."""
    with file.open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        waiter = subprocess.Popen([sys.executable, "-c", _LOCK, file])
        try:
            sign = re.compile(rf"PID +: {waiter.pid}$", re.M)
            status = ("volume", "status", gluster.volume, "callpool")
            until(lambda: sign.search(gluster.cli(*status)) is not None, "a call for the lock")
            yield
        finally:
            fcntl.lockf(lock, fcntl.LOCK_UN)
            assert waiter.wait(60) == 0


def _drain_shortly(bricks: Bricks) -> None:
    with deadline(3):
        _DRAIN(bricks)


_DRAIN = Bricks.drain
_LOCK = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'w'), fcntl.LOCK_EX)"


def allowed(gluster: Gluster) -> str:
    """Return all rules."""
    return gluster.cli("volume", "get", gluster.volume, "auth.allow")


def test_suspect_that_comes_back_is_a_node_like_others(
    driver: ManagedGlusterDriver, gluster: Gluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fence that was cut short, and then an attach: detach ends it, and nothing is left."""
    volume = made(driver, "back")
    driver.attach(volume, _NOBODY)
    monkeypatch.setattr(_fence, "wait_until", _interrupt)
    with pytest.raises(DeadlineExceeded, match="interrupted"):
        driver.fence(volume, _NOBODY)
    driver.detach(volume, _NOBODY)
    assert nodes(driver, volume) == [_NOBODY]
    driver.attach(volume, _NOBODY)
    assert nodes(driver, volume) == [_NOBODY]
    driver.detach(volume, _NOBODY)
    assert nodes(driver, volume) == []
    driver.delete(volume)
    assert volume.handle not in allowed(gluster)


def _interrupt(_condition: object, awaited: str) -> None:
    """Stand in for the wait for the end of the node's connections."""
    if "end the node's" in awaited:
        raise DeadlineExceeded("interrupted")


@pytest.mark.timeout(300)
def test_brick_that_is_offline_refuses_a_fence(
    driver: ManagedGlusterDriver, gluster: Gluster
) -> None:
    """It may still serve the node, which stays listed; when it is back a fence has its proof."""
    volume = made(driver, "unproven")
    driver.attach(volume, _NOBODY)
    os.kill(gluster.bricks()[0], signal.SIGKILL)
    try:
        until(lambda: "<status>0</status>" in _status(gluster), "the brick to be missed")
        with pytest.raises(Unavailable, match="is offline"):
            driver.fence(volume, _NOBODY)
        assert nodes(driver, volume) == [_NOBODY]
    finally:
        until(lambda: _started(gluster), "the brick to be back", 90)
    until(lambda: _fenced(driver, volume), "a fence with its proof", 90)
    assert nodes(driver, volume) == []
    driver.delete(volume)


def _started(gluster: Gluster) -> bool:
    """Start the brick, of which glusterd may just think that it runs; say whether it does."""
    gluster.cli("volume", "start", gluster.volume, "force")
    return "<status>0</status>" not in _status(gluster)


def _status(gluster: Gluster) -> str:
    return gluster.cli("--xml", "volume", "status", gluster.volume)


def _fenced(driver: ManagedGlusterDriver, volume: AnyVolume) -> bool:
    with suppress(VolplugError):
        return bool(driver.fence(volume, _NOBODY))
    return False


def test_server_is_not_fenced(driver: ManagedGlusterDriver, gluster: Gluster) -> None:
    """A Gluster server's own mounts log in, so that no rule about addresses would end them."""
    volume = made(driver, "servers")
    driver.attach(volume, gluster.host.address)
    with pytest.raises(Unavailable, match="is the Gluster server"):
        driver.fence(volume, gluster.host.address)
    assert nodes(driver, volume) == [gluster.host.address]
    driver.delete(volume)
