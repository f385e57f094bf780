"""SIGKILL at every step of Create, Mount, Unmount and Remove, then a start as if nothing was.

Every effect is followed by a named crashpoint. For each of them, on each backend that is real
here, volplug is made to die there, is started again, and must carry the volume's life to its end:
nothing forgotten, nothing formatted twice, and nothing left over.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.agent import PATIENCE_S, Agent, Answer
from tests.crashpoints import crashpoints
from tests.machine import need_root
from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded

OPTIONS: dict[str, dict[str, str]] = {
    "local": {"backend": "local"},
    "loop": {"backend": "loop", "size": "32M"},
}

ON_DISKS = {
    "expand.expanded",
    "stage.attached",
    "stage.format.made",
    "stage.format.remembered",
    "unstage.detached",
}
"""Steps that a volume without a disk does not take."""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent that gives orphans a second; whatever it left mounted at the end is a failure."""
    need_root()
    agent = Agent(tmp_path, VOLPLUG_GRACE_S="0.5")
    yield agent
    agent.kill()
    left = leftovers(tmp_path)
    for mountpoint in [*reversed(mounts_below(tmp_path)), str(tmp_path / "state" / "mounts")]:
        subprocess.run(["umount", "-l", mountpoint], check=False, capture_output=True)
    assert not left, f"left over: {left}\n{agent.log.read_text()[-4000:]}"


def mounts_below(directory: Path) -> list[str]:
    """List the mountpoints below a directory, except the one that volumes appear below."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mountpoints = [line.split()[4] for line in lines]
    own = str(directory / "state" / "mounts")
    return [point for point in mountpoints if point.startswith(f"{directory}/") and point != own]


def leftovers(directory: Path) -> list[str]:
    """List what the life of a volume must not leave: mounts, loop devices, images, directories."""
    loops = subprocess.run(
        ["losetup", "-l", "-n", "-O", "BACK-FILE"], capture_output=True, text=True, check=True
    )
    images = [line.strip() for line in loops.stdout.splitlines() if str(directory) in line]
    state = directory / "state"
    data = [
        str(path)
        for place in ("volumes", "images", "staged", "mounts")
        for path in (state / place).glob("[!.]*")
    ]
    return mounts_below(directory) + images + data


def persist(agent: Agent, path: str, **body: object) -> Answer:
    """Make a call as a person does who tries again after "connection broke", until it works."""
    return repeat(agent, lambda answer: not answer.get("Err"), path, **body)


def settle(agent: Agent) -> None:
    """Wait until no lease is left."""
    repeat(agent, lambda answer: not answer["Leases"], "/Volplug.Leases")


def repeat(agent: Agent, good: Callable[[Answer], bool], path: str, **body: object) -> Answer:
    """Call until the answer is good, restarting what died as a supervisor does."""
    answers: list[Answer] = []

    def is_good() -> bool:
        answer = agent.call(path, **body)
        if answer is None:
            agent.kill()
            agent.start()
            return False
        answers.append(answer)
        return good(answer)

    try:
        with deadline(PATIENCE_S):
            wait_until(is_good, path, poll_s=0.02)
    except DeadlineExceeded as error:
        raise AssertionError(f"{path} {body}: {answers[-1:]}") from error
    return answers[-1]


@pytest.mark.root
@pytest.mark.parametrize("backend", sorted(OPTIONS))
@pytest.mark.parametrize("crashpoint", crashpoints())
def test_a_volumes_life_survives_death_at(agent: Agent, crashpoint: str, backend: str) -> None:
    """Whatever step volplug dies at, repeating the call leads to the same end."""
    agent.start(crashpoint)
    persist(agent, "/VolumeDriver.Create", Name="v", Opts=OPTIONS[backend])
    mountpoint = Path(str(persist(agent, "/VolumeDriver.Mount", Name="v", ID="one")["Mountpoint"]))
    (mountpoint / "precious").write_text("data")
    persist(agent, "/VolumeDriver.Unmount", Name="v", ID="one")
    settle(agent)
    if backend == "loop":
        persist(agent, "/Volplug.Expand", Name="v", Size=str(48 << 20))
    again = Path(str(persist(agent, "/VolumeDriver.Mount", Name="v", ID="two")["Mountpoint"]))
    assert (again / "precious").read_text() == "data"
    persist(agent, "/VolumeDriver.Unmount", Name="v", ID="two")
    settle(agent)
    assert persist(agent, "/VolumeDriver.Get", Name="v")["Volume"]
    persist(agent, "/VolumeDriver.Remove", Name="v")
    assert persist(agent, "/VolumeDriver.List")["Volumes"] == []
    if backend == "loop" or crashpoint not in ON_DISKS:
        assert agent.lives() > 1, "it never passed there"


@pytest.mark.root
@pytest.mark.parametrize("backend", sorted(OPTIONS))
@pytest.mark.parametrize("crashpoint", [name for name in crashpoints() if "delete" not in name])
def test_nothing_leaks_when_nobody_calls_again(agent: Agent, crashpoint: str, backend: str) -> None:
    """After a death in mid-call and the grace, no lease or mount is left, and no volume lost."""
    agent.start(crashpoint)
    created = agent.call("/VolumeDriver.Create", Name="v", Opts=OPTIONS[backend])
    if created is not None:
        agent.call("/VolumeDriver.Mount", Name="v", ID="one")
        agent.call("/VolumeDriver.Unmount", Name="v", ID="one")
    agent.kill()
    agent.start()
    with deadline(PATIENCE_S):
        wait_until(lambda: not agent.leases(), "the lease's release")
        wait_until(lambda: not mounts_below(agent.directory), "the last unmount")
    if created is not None:
        assert persist(agent, "/VolumeDriver.Get", Name="v")["Volume"]
    persist(agent, "/VolumeDriver.Remove", Name="v")


@pytest.mark.root
@pytest.mark.parametrize("backend", sorted(OPTIONS))
@pytest.mark.parametrize(
    "crashpoint", [name for name in crashpoints() if name.startswith(("un", "down", "drain"))]
)
def test_a_living_container_keeps_its_volume(agent: Agent, crashpoint: str, backend: str) -> None:
    """Death while one container's use ends takes nothing from another that runs."""
    agent.start()
    persist(agent, "/VolumeDriver.Create", Name="v", Opts=OPTIONS[backend])
    mountpoint = persist(agent, "/VolumeDriver.Mount", Name="v", ID="living")["Mountpoint"]
    persist(agent, "/VolumeDriver.Mount", Name="v", ID="ending")
    agent.kill()
    agent.start(crashpoint)
    with container(str(mountpoint)) as running:
        agent.call("/VolumeDriver.Unmount", Name="v", ID="ending")
        agent.call("/VolumeDriver.Unmount", Name="v", ID="living")  # a stray one, as after a crash
        agent.kill()
        agent.start()
        assert running.poll() is None
        assert agent.leases()
        assert str(mountpoint) in mounts_below(agent.directory)
    with deadline(PATIENCE_S):
        wait_until(lambda: not agent.leases(), "the lease's release")
    persist(agent, "/VolumeDriver.Remove", Name="v")


@contextmanager
def container(mountpoint: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Have a process of another mount namespace hold the volume, as a container does."""
    script = 'mount --bind "$0" /mnt && echo ready && exec cat'
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script, mountpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()
