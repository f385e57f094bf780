"""A machine: its clocks, its boots, what is mounted on it, and the containers that write there.

Containers know nothing of leases. They write for as long as they run and the mount lets them, also
while volplug is stopped, dead, or convinced that all is well.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.clock import HostClock
from tests.simulation.network import Call
from tests.simulation.threads import sleep
from tests.simulation.timeline import Process, current
from volplug.errors import HostError, VolumeInUse
from volplug.host import Filesystem, Formatted, Host, Remember
from volplug.options import Size
from volplug.source import Share, Source
from volplug.testing import MemoryMounts
from volplug.volume import AccessMode, Owner

if TYPE_CHECKING:
    from tests.simulation.warden import Warden
    from tests.simulation.world import World

DRAIN_S = 0.45
"""A write that was begun has reached the disk by then, or never will."""

WRITE_EVERY_S = 0.7

on_behalf: ContextVar[Callable[[], None] | None] = ContextVar("on_behalf", default=None)
"""What is asked before a program is begun; see volplug.command."""


@dataclass(eq=False)
class Container:
    """One use of a mount."""

    name: str
    running: bool = True
    died: Callable[[], None] = lambda: None


@dataclass(eq=False)
class Mount:
    """A volume as this machine has it: who may write, under which token."""

    volume: str
    source: Source
    handle: str
    token: int
    access: AccessMode
    frozen: bool = False
    stopped: bool = False
    gone: bool = False
    settled_s: float = 0.0
    containers: list[Container] = field(default_factory=list)

    @property
    def writable(self) -> bool:
        """Whether a container can write now."""
        return not (self.frozen or self.stopped or self.gone or self.access.read_only)


class Machine:
    """One machine of the cluster."""

    def __init__(self, world: "World", name: str, rate: float) -> None:
        self.world = world
        self.name = name
        self.hardware_id = f"hardware of {name}"
        self.rate = rate
        self.boot = 0
        self.up = False
        self.halted = 0
        self.kept_down = 0
        self.clock = HostClock(rate, 0.0, 0.0)
        self.rows = MemoryMounts()  # on disk
        self.warden: Warden | None = None
        self.mounts: dict[str, Mount] = {}
        self.mounting: dict[Mount, tuple[Process, Call]] = {}
        self.processes: list[Process] = []

    @property
    def boot_id(self) -> str:
        """The identity of this life of the kernel."""
        return f"{self.name} boot {self.boot}"

    def power_on(self) -> None:
        """Boot."""
        self.boot += 1
        self.up = True
        now_s = self.world.timeline.now_s
        self.clock = HostClock(self.rate, self.world.random.uniform(0, 1e6), now_s)

    def crash(self) -> None:
        """Lose everything but the disk."""
        self.up = False
        self.halted = 0
        for process in self.processes:
            process.kill()
        self.processes.clear()
        for mount in self.mounts.values():
            mount.gone = True
            for container in mount.containers:
                container.running = False
        self.mounts, self.mounting = {}, {}

    def process(self, name: str) -> Process:
        """Start a process, which does nothing yet."""
        process = Process(
            f"{name} on {self.name}", self.world.timeline, self.clock, self.world.failed
        )
        for _ in range(self.halted):
            process.stop()
        self.processes = [each for each in self.processes if each.alive]
        self.processes.append(process)
        return process

    def halt(self, *, clocks: bool) -> None:
        """Stop everything on it, with its clocks or, as in suspend, with the monotonic one only."""
        now_s = self.world.timeline.now_s
        if not self.halted:
            (self.clock.freeze if clocks else self.clock.sleep)(now_s)
        self.halted += 1
        for process in self.processes:
            process.stop()

    def wake(self) -> None:
        """Let everything go on."""
        self.halted -= 1
        if not self.halted:
            self.clock.wake(self.world.timeline.now_s)
        for process in self.processes:
            process.go_on()

    def start_mounting(self, mount: Mount, call: Call) -> None:
        """Mount in a child, which outlives whoever asked for it; mounting itself writes.

        It is begun on behalf of who arms the volume, as programs are.
        """
        check = on_behalf.get()
        if check is not None:
            check()
        child = self.process("mount")
        self.mounting[mount] = child, call

        def work() -> None:
            sleep(self.world.random.uniform(0.01, 0.3))
            del self.mounting[mount]
            self.mounts[mount.volume] = mount
            self.write(mount, 0.001)
            child.alive = False
            call.reply(True)

        child.spawn(work)

    def stop_mounting(self, volume: str, token: int) -> None:
        """Kill the child that mounts a volume, if one does."""
        for mount, (child, call) in list(self.mounting.items()):
            if (mount.volume, mount.token) == (volume, token):
                del self.mounting[mount]
                self.world.timeline.after(0.0, child.kill)
                child.alive = False
                call.reply(False)

    def start_container(self, mount: Mount, name: str) -> Container:
        """Let a container write to a mount from now on."""
        container = Container(name)
        mount.containers.append(container)
        if mount.stopped:  # its first write tells it so
            self._die_soon(mount, container)
        self.world.timeline.after(0.0, self._tick, mount, container)
        return container

    def end_container(self, mount: Mount, container: Container) -> None:
        """Let it write no more."""
        container.running = False
        if container in mount.containers:
            mount.containers.remove(container)
            container.died()

    def write(self, mount: Mount, latency_s: float) -> None:
        """Write once, if the mount and the machine let it."""
        if mount.writable and self.up and not self.halted:
            mount.settled_s = max(mount.settled_s, self.world.timeline.now_s + latency_s)
            self.world.timeline.after(
                latency_s,
                self.world.storage.write,
                mount.handle,
                self.name,
                mount.token,
                mount.access,
            )

    def _tick(self, mount: Mount, container: Container) -> None:
        if not container.running or mount.gone or mount.stopped:
            return
        if self.world.patient and not self.world.storage.disks[mount.handle].admits(self.name):
            self._die_soon(mount, container)  # its writes fail, or a person has read the log
            return
        chance = self.world.random.random()
        self.write(mount, DRAIN_S * chance if chance > 0.9 else 0.002)
        self.world.timeline.after(WRITE_EVERY_S * (0.5 + chance), self._tick, mount, container)

    def freeze(self, mount: Mount) -> None:
        """Let writes wait."""
        self._last_word(mount)
        mount.frozen = True

    def stop(self, mount: Mount) -> None:
        """Let no write through any more, for good; who writes dies of it before long."""
        self._last_word(mount)
        mount.stopped = True
        for container in mount.containers:
            self._die_soon(mount, container)

    def _die_soon(self, mount: Mount, container: Container) -> None:
        delay_s = self.world.random.uniform(0.0, 3.0)
        self.world.timeline.after(delay_s, self.end_container, mount, container)

    def _last_word(self, mount: Mount) -> None:
        """Have a container write at the last moment, as slowly as it may."""
        if any(each.running for each in mount.containers):
            self.write(mount, DRAIN_S)


class SimulatedHost(Host):
    """What volplug sees of its machine."""

    def __init__(self, machine: Machine, granted: Callable[[str], tuple[int, AccessMode]]) -> None:
        """`granted` tells under which token and mode this process mounts a volume."""
        self._machine = machine
        self._granted = granted

    def stage(
        self,
        name: str,
        source: Source,
        *,
        filesystem: Filesystem,
        remember: Remember,
        owner: Owner,
        read_only: bool,
    ) -> None:
        """Mount it; that takes a while, and happens even if whoever asked is killed meanwhile."""
        del owner, read_only
        present = self._machine.mounts.get(name)
        if present is not None:
            if present.source != source:
                raise HostError(f"volume '{name}' is staged from another source: unstage it first")
            return
        if filesystem.formatted is not Formatted.READY:
            remember(Filesystem(Formatted.READY))
        assert isinstance(source, Share)
        token, access = self._granted(name)
        handle = source.source.removeprefix("storage:/")
        mount = Mount(name, source, handle, token, access)
        call = Call(current())
        self._machine.start_mounting(mount, call)
        call.wait(None)
        if not call.answer:
            raise HostError(f"mounting volume '{name}' was broken off")

    def unstage(self, name: str) -> None:
        """Unmount it; see Host."""
        mount = self._machine.mounts.get(name)
        if mount is None:
            return
        self._refuse_used(mount)
        self._flush(mount)
        self._let_go(name, mount)

    def discard(self, name: str) -> None:
        """Unmount it without writing what is left to write; see Host."""
        mount = self._machine.mounts.get(name)
        if mount is None:
            return
        self._machine.stop(mount)
        self._refuse_used(mount)
        self._settle(mount)
        self._let_go(name, mount)

    def _let_go(self, name: str, mount: Mount) -> None:
        current().process.check_alive()
        self._refuse_used(mount)
        mount.gone = True
        if self._machine.mounts.get(name) is mount:
            del self._machine.mounts[name]

    def _flush(self, mount: Mount) -> None:
        """Write what is left to write, and wait until all of it is on the disk."""
        self._machine.write(mount, DRAIN_S * self._machine.world.random.random())
        self._settle(mount)

    def _settle(self, mount: Mount) -> None:
        """Wait, as a kernel's unmount does, until no write is under way any more."""
        world = self._machine.world
        sleep(world.random.uniform(0.005, 0.1))
        while mount.settled_s >= world.timeline.now_s:
            sleep(0.05)

    def path(self, name: str) -> Path | None:
        """Return its directory while it is mounted; see Host."""
        return Path("/mounts", name) if name in self._machine.mounts else None

    def staged(self) -> set[str]:
        """Return the names of what is mounted; see Host."""
        return set(self._machine.mounts)

    def users(self, name: str) -> int:
        """Count the containers that have it; see Host."""
        mount = self._machine.mounts.get(name)
        return len(mount.containers) if mount else 0

    def grow(self, name: str, size: Size) -> None:
        """Do nothing: what is kept here has no size; see Host."""

    def _refuse_used(self, mount: Mount) -> None:
        if mount.containers:
            raise VolumeInUse(f"volume '{mount.volume}' is in use by {len(mount.containers)}")
