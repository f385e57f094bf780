"""The guard's process on a simulated machine: production's rules, and stops that take their time.

It is another process than volplug's, so it does its work while that one is stopped or dead.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from tests.simulation import threads
from tests.simulation.machine import Machine, Mount, on_behalf
from tests.simulation.timeline import Process, current
from volplug.errors import Unavailable
from volplug.guard import Armed, Guard, Late, Level, State, Times
from volplug.guarding import Claim
from volplug.lease import Lease
from volplug.linux.guard.fallback import Duty, Fallback
from volplug.linux.guard.note import Note
from volplug.session import HOLD_MS

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

FREEZE_FAILS = 0.3
LATENESS_S = 0.02
SLOWEST_S = 0.11
"""The longest that a freeze or a stop was seen to take (leases.md 4.5)."""


class SimulatedStopper:
    """What stops the writers of one volume under one token."""

    def __init__(self, world: "World", machine: Machine, volume: str, token: int) -> None:
        self._world = world
        self._machine = machine
        self._volume = volume
        self._token = token
        self._boot = machine.boot
        self._wanted = 0
        self.staged = True
        self._stopping = self._stopped = False

    def freeze(self) -> None:
        """Begin to hold the writers up; three of ten times that fails."""
        self._world.note(f"guard of {self._machine.name} freezes {self._volume} {self._token}")
        if self._world.random.random() < FREEZE_FAILS:
            raise OSError("the freeze has failed")
        self._wanted += 1
        self._soon(self._freeze, self._wanted)

    def thaw(self) -> None:
        """Let the writers go on."""
        self._wanted += 1
        mount = self._mount()
        if mount is not None:
            mount.frozen = False

    def stop(self) -> bool:
        """End the writers, and whoever is just mounting; say whether they are."""
        if not self._stopping:
            self._world.note(f"guard of {self._machine.name} stops {self._volume} {self._token}")
            self._stopping = True
            self._machine.stop_mounting(self._volume, self._token)
            self._soon(self._stop)
        return self._stopped

    def _freeze(self, wanted: int) -> None:
        mount = self._mount()
        if mount is not None and wanted == self._wanted:
            self._machine.freeze(mount)

    def _stop(self) -> None:
        self._stopped = True
        mount = self._mount()
        if mount is not None:
            self._machine.stop(mount)

    def _mount(self) -> Mount | None:
        mount = self._machine.mounts.get(self._volume)
        mine = mount is not None and mount.token == self._token
        return mount if mine and self._machine.boot == self._boot else None

    def _soon(self, call: object, *arguments: object) -> None:
        assert callable(call)
        self._world.timeline.after(self._world.random.uniform(0.002, SLOWEST_S), call, *arguments)


class _Boottime:
    """CLOCK_BOOTTIME of a machine, whoever asks."""

    def __init__(self, world: "World", machine: Machine) -> None:
        self._world = world
        self._machine = machine

    def now(self) -> float:
        """Return it in seconds."""
        return self._machine.clock.boottime_s(self._world.timeline.now_s)


class Warden:
    """The guard of one boot of one machine, through all lives of its process."""

    def __init__(self, world: "World", machine: Machine) -> None:
        self.world = world
        self.machine = machine
        self._clock = _Boottime(world, machine)
        self.guard = Guard(self._clock)
        self._table: list[Armed] = []
        self.left = Note(machine.boot_id)
        self.watched: Callable[[], None] = lambda: None
        """Called when its process has died: the agent notices at once."""
        self._poke = threads.Event()
        self.process: Process
        self.begin()

    def begin(self) -> None:
        """Start its process, with what an earlier one had written down."""
        self.guard = Guard(self._clock)
        for armed in self._table:
            self.guard.resume(armed, self.left.renewed_s(armed.volume, armed.token))
        self._poke = threads.Event()
        self.process = self.machine.process("guard")
        self.process.spawn(self._live)

    def die(self) -> None:
        """Kill its process."""
        self.process.kill()
        self.watched()

    def begin_again(self) -> None:
        """Start its process anew, unless the machine has gone meanwhile."""
        if self.machine.warden is self and self.machine.up and not self.process.alive:
            self.begin()

    def ask(self, work: Callable[[Guard], T]) -> T:
        """Have the guard do something, and look at what is due; raise OSError if it is dead."""
        if not self.process.alive:
            raise OSError("connection refused")
        done = work(self.guard)
        self._table = self.guard.armed()
        self._poke.set()
        return done

    def stopper(self, lease: Lease) -> SimulatedStopper:
        """Return what stops a volume under its token."""
        return SimulatedStopper(self.world, self.machine, lease.volume, lease.token)

    def _live(self) -> None:
        while True:
            due_s = self.guard.tick()
            self._poke.clear()
            wait_s = None if due_s is None else due_s - self._clock.now()
            self._poke.wait(wait_s)
            threads.sleep(self.world.random.uniform(0.0, LATENESS_S))


class SimulatedGuard:
    """The agent's side of it: what volplug.linux.guard.client promises, without the sockets."""

    shared_store = True

    def __init__(self, warden: Warden, renewed_s: Callable[[], float]) -> None:
        self._warden = warden
        self._renewed_s = renewed_s
        self._times = Times.of(HOLD_MS)
        self._claim = Claim()
        self._mine: dict[str, tuple[int, bool]] = {}
        self._heard_s = renewed_s()
        world, machine = warden.world, warden.machine
        self._fallback = Fallback(
            _Boottime(world, machine),
            self._times,
            lambda volume, token: SimulatedStopper(world, machine, volume, token),
        )
        self._poke = threads.Event()
        self._idle = False
        warden.watched = self._look

    def begin(self, mine: list[Lease]) -> None:
        """Have it stop what is not ours any more; one that cannot be had is sought further."""
        current().process.spawn(self._watch)
        tokens = {(lease.volume, lease.token) for lease in mine}

        def settle(guard: Guard) -> None:
            for armed in guard.armed():
                if (armed.volume, armed.token) not in tokens:
                    guard.stop(armed.volume, armed.token)

        with suppress(Unavailable):
            self._ask(settle)

    def level(self) -> Level:
        """Return whether it answers."""
        said = self._claim.say(Level.PROCESS if self._warden.process.alive else Level.NONE)
        self._look()
        return said

    def renewed(self) -> None:
        """Tell it of a renewal, or whichever guard comes next."""
        self._claim.acknowledge()
        self._look()
        base_s = self._base_s()
        try:
            self._ask(lambda guard: guard.renew(base_s))
            self._heard_s = base_s
        except Unavailable:
            leases = {(volume, token) for volume, (token, _) in self._mine.items()}
            held = frozenset(leases - self._fallback.stopped)
            self._warden.left = Note(self._warden.machine.boot_id, base_s, held)

    @contextmanager
    def armed(self, lease: Lease) -> Iterator[None]:
        """Watch over a volume, and over the programs that bring it here."""
        self.adopt(lease)
        token = on_behalf.set(self._check)
        try:
            yield
        finally:
            on_behalf.reset(token)

    def adopt(self, lease: Lease) -> None:
        """Watch over a volume."""
        base_s, stopper = self._base_s(), self._warden.stopper(lease)
        self._mine[lease.volume] = lease.token, True
        self._look()
        try:
            self._ask(
                lambda guard: guard.arm(lease.volume, lease.token, self._times, base_s, stopper)
            )
        except Late as error:
            raise Unavailable(str(error)) from error

    def disarm(self, volume: str) -> None:
        """Let go of it."""
        self._mine.pop(volume, None)
        self._look()

        def disarm(guard: Guard) -> None:
            for armed in guard.armed():
                if armed.volume == volume:
                    guard.disarm(volume, armed.token)

        self._ask(disarm)

    def has_stopped(self, lease: Lease) -> bool:
        """Say whether it was stopped under this token."""
        armed = self._warden.guard.get(lease.volume, lease.token)
        by_guard = armed is not None and armed.state is State.STOPPED
        return by_guard or (lease.volume, lease.token) in self._fallback.stopped

    def lost(self) -> None:
        """Stop everything."""
        if not self._warden.process.alive:
            self._fallback.stop_all(self._duty())
        with suppress(Unavailable):
            self._ask(Guard.stop_all)

    def close(self) -> None:
        """Do nothing: no simulated process ends in good order."""

    def _duty(self) -> Duty:
        alone = not self._warden.process.alive and self._claim.told is not Level.NONE
        return Duty(self._mine, self._renewed_s(), self._heard_s, alone)

    def _look(self) -> None:
        """Have the last line look, unless there is nothing to see: for speed alone."""
        if not (self._idle and self._warden.process.alive):
            self._poke.set()

    def _watch(self) -> None:
        """Be the last line, as production's thread of that name is."""
        while True:
            due_s = self._fallback.attend(self._duty())
            self._idle = due_s is None
            self._poke.clear()
            self._poke.wait(None if due_s is None else due_s - threads.boottime())

    def _base_s(self) -> float:
        base_s = self._renewed_s()
        self._warden.world.checks.based(self._warden.machine, base_s)
        return base_s

    def _check(self) -> None:
        if not self._times.usable(self._renewed_s(), threads.boottime()):
            raise Unavailable("the lease could not be renewed in time")

    def _ask(self, work: Callable[[Guard], T]) -> T:
        """Ask it, once more a little later if it is just being replaced."""
        for _ in range(3):
            try:
                return self._warden.ask(work)
            except OSError:
                threads.sleep(0.2)
        raise Unavailable("the guard does not answer")
