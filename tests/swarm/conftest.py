"""Three machines with a Swarm over them, a store of three, and a file system of three bricks."""

import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.e2e.engine import need_engine
from tests.etcd.cluster import Cluster
from tests.machine import need_program, need_root
from tests.rigs.gluster import Gluster
from tests.rigs.network import Network
from tests.sqlite.shelf import new_shelf
from tests.swarm.member import PORT, Member
from tests.swarm.writing import Service, Writer

Tell: TypeAlias = Callable[[str], None]

NUMBERS = (21, 22, 23)
_STORAGE = 1

# The servers take orders on one machine only, and whoever gives some must reach it.
_ADMIN = (
    'timeout 5 bash -c "</dev/tcp/{server}/24007" && exec gluster --glusterd-sock={socket} "$@"'
)
_WAITS_S = ("5", "20", "20")
"""How long a Mount waits for a volume: the default, but where refusals are looked at."""

_CONFIG = """\
deadline_s = 60
grace_s = 5
default_backend = "gluster"

[store]
kind = "etcd"
endpoints = [{endpoints}]

[backends.gluster]
driver = "glusterfs-managed"
servers = ["{server}"]
volume = "{volume}"
ping_timeout_s = 3
admin = ["bash", "-c", '{admin}', "admin"]
admin_addresses = [{nodes}]
"""


@dataclass(frozen=True)
class Swarm:
    """A manager that is never disturbed, and two workers."""

    manager: Member
    one: Member
    other: Member
    store: Cluster
    told: Path

    def service(self, name: str) -> Service:
        """Return a service, which is still to be created."""
        return Service(self.manager, name, self.told)

    def create(self, name: str, **options: str) -> tuple[Service, Writer]:
        """Create a service that writes on the first worker, and may go on on the other one."""
        service = self.service(name)
        self.set_availability(self.other, "pause")
        writer = service.create(self.one, constraint="node.role==worker", **options)
        self.set_availability(self.other, "active")
        return service, writer

    def set_availability(self, member: Member, word: str) -> None:
        """Tell the Swarm whether a member gets tasks: active, pause, drain."""
        self.manager.docker("node", "update", "--availability", word, member.name).ok()

    def is_ready(self, member: Member) -> bool:
        """Say whether the Swarm hears of a member."""
        words = ("node", "inspect", "--format={{.Status.State}}", member.name)
        return self.manager.docker(*words).ok() == "ready"

    @property
    def members(self) -> tuple[Member, ...]:
        """All machines."""
        return self.manager, self.one, self.other


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """A bridge with this machine on it."""
    need_root()
    need_program("ip", "iproute2")
    network = Network()
    yield network
    network.close()


@pytest.fixture(scope="module")
def gluster(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gluster]:
    """A replica-3 volume."""
    cluster = Gluster(network.host(_STORAGE), tmp_path_factory.mktemp("gluster"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def store(network: Network) -> Iterator[Cluster]:
    """An etcd of three members, where the machines reach it."""
    program = need_program("etcd", "etcd-server")
    cluster = Cluster(program, new_shelf(), address=network.address)
    cluster.start()
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def swarm(
    network: Network, gluster: Gluster, store: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Swarm]:
    """The Swarm."""
    need_engine()
    place = tmp_path_factory.mktemp("swarm")
    config = place / "volplug.toml"
    config.write_text(_config(network, gluster, store))
    told = place / "told"
    told.mkdir()
    members: list[Member] = []
    try:
        for number, wait_s in zip(NUMBERS, _WAITS_S, strict=True):
            settings = {"VOLPLUG_CONFIG": str(config), "VOLPLUG_WAIT_S": wait_s}
            members.append(Member(number, network, place, **settings))
            members[-1].start()
        _unite(*members)
        manager, one, other = members
        yield Swarm(manager, one, other, store, told)
    finally:
        for member in members:
            member.power_off()


def _config(network: Network, gluster: Gluster, store: Cluster) -> str:
    server = gluster.host.address
    return _CONFIG.format(
        endpoints=", ".join(f'"{member.url}"' for member in store.members),
        nodes=", ".join(f'"{network.prefix}.{number}"' for number in NUMBERS),
        admin=_ADMIN.format(server=server, socket=gluster.place / "glusterd.sock"),
        server=server,
        volume=gluster.volume,
    )


def _unite(manager: Member, *workers: Member) -> None:
    own = (f"--advertise-addr={manager.address}", f"--listen-addr={manager.address}:{PORT}")
    manager.docker("swarm", "init", *own, "--dispatcher-heartbeat=3s").ok()
    for worker in workers:
        worker.join(manager)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """A way to print what was measured, seen also when the test passes."""

    def write(measured: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\nmeasured: {measured}\n")

    return write


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the daemons printed to the report of a failed test."""
    report = yield
    swarm = item.funcargs.get("swarm") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(swarm, Swarm):
        for member in swarm.members:
            report.sections.append((f"daemons of {member.name}", member.logs()))
    return report
