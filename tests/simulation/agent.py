"""volplug's own process on a simulated machine: put together as main.py does, of its classes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.host import SimulatedHost
from tests.simulation.machine import Machine
from tests.simulation.storage import FencingDriver, PlainDriver
from tests.simulation.threads import boottime, monotonic
from tests.simulation.timeline import current
from tests.simulation.warden import SimulatedGuard
from volplug import arming
from volplug.backends import Backends
from volplug.controller import Controller
from volplug.deadline import deadline
from volplug.errors import VolplugError
from volplug.etcd import Access, EtcdStore
from volplug.etcd.access import Endpoint
from volplug.etcd.leases import EtcdLeases
from volplug.guarding import Guarding, Unguarded
from volplug.keeper import Keeper
from volplug.ladder import Ladder
from volplug.lease import Fence, FenceState, Lease
from volplug.mounts import Mounts
from volplug.node import Node
from volplug.operations import Operations
from volplug.renewal import Renewal
from volplug.service import Service
from volplug.session import BoottimeClock, Session
from volplug.volume import AccessMode

if TYPE_CHECKING:
    from tests.simulation.world import World

ACCESS = Access(tuple(Endpoint("http", "etcd", 1000 + number) for number in range(3)))
CALL_S = 25.0
"""How long an engine's call may take."""


class WatchedLeases(EtcdLeases):
    """The lease table as it is, with an eye on what it answers."""

    def acquire(self, volume: str, access: AccessMode) -> Lease:
        """Acquire; note the lease, and that it came in time."""
        lease = super().acquire(volume, access)
        agent = current().process.owner
        assert isinstance(agent, Agent)
        agent.tokens[volume] = lease.token, lease.access
        agent.world.checks.granted(agent.machine, lease, boottime() - self.renewed_s())
        return lease

    def note_fence(self, lease: Lease, state: FenceState, words: str = "") -> Fence | None:
        """Note a fence, and which token it is aimed at."""
        current().aimed = lease.token
        return super().note_fence(lease, state, words)


class Agent:
    """One life of the process; when it ends, another one is begun a little later."""

    def __init__(self, world: "World", machine: Machine) -> None:
        self.world = world
        self.machine = machine
        self.tokens: dict[str, tuple[int, AccessMode]] = {}
        self.ready = False
        self.service: Service
        self.leases: EtcdLeases
        self.process = machine.process("volplug")
        self.process.owner = self
        self.process.spawn(self._start)

    def call(
        self, work: Callable[[Service], object], done: Callable[[VolplugError | None], None]
    ) -> None:
        """Have the process serve an engine's call; if it dies meanwhile, nobody answers."""

        def serve() -> None:
            problem: VolplugError | None = None
            try:
                with deadline(CALL_S):
                    work(self.service)
            except VolplugError as error:
                problem = error
            done(problem)

        self.process.spawn(serve)

    def _start(self) -> None:
        try:
            self._assemble()
        except VolplugError as error:
            self.world.note(f"{self.process.name} does not start: {error}")
            self.process.end()
        self.ready = True

    def _assemble(self) -> None:
        machine, world = self.machine, self.world
        store = EtcdStore(ACCESS)
        instance = f"process {next(world.numbers)}"
        session = Session(machine.name, machine.boot_id, machine.hardware_id, instance)
        leases = store.leases(session, BoottimeClock(), world.utc)
        assert isinstance(leases, EtcdLeases)
        self.leases = leases
        guard: Guarding = Unguarded()
        if machine.warden is not None:
            guard = SimulatedGuard(machine.warden, leases.renewed_s)
        node = Node(
            name=machine.name,
            boot_id=machine.boot_id,
            catalog=store.catalog(leases),
            leases=leases,
            mount_table=machine.rows,
            backends=self._backends(),
            host=SimulatedHost(machine, self.tokens.__getitem__),
            operations=Operations(),
            now=world.utc,
            guard=guard,
        )
        controller = Controller(node)
        ladder = Ladder(node, wait_s=world.wait_s)
        mounts = Mounts(node, ladder, wait_s=world.wait_s, grace_s=6.0, now_s=monotonic)
        keeper = Keeper(node, controller, mounts, period_s=world.keeper_s)
        renewal = Renewal(leases, self.process.end, guard=guard, now_s=monotonic)
        self.service = Service(node, controller, mounts, keeper)
        arming.begin(node)
        renewal.start()
        keeper.start()

    def _fencing(self, volume: str, node: str) -> None:
        task = current()
        self.world.checks.fenced(volume, node, task.aimed, task.listed_s)

    def _backends(self) -> Backends:
        settings = {"disks": {"driver": "disks", "node": self.machine.name, "takeover": "timed"}}
        backends = Backends(
            settings,
            default="disks",
            load=lambda _: self.world.driver,
            state_dir=self.world.nowhere,
        )
        driver = backends.driver("disks")
        assert isinstance(driver, PlainDriver)
        driver.storage = self.world.storage
        if isinstance(driver, FencingDriver):
            driver.fencing = self._fencing
        return backends
