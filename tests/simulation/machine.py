"""A machine: its clocks, its boots, what is mounted on it, and the containers that write there.

Containers know nothing of leases. They write for as long as they run and the mount lets them, also
while volplug is stopped, dead, or convinced that all is well.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.clock import HostClock
from tests.simulation.network import Call
from tests.simulation.threads import sleep
from tests.simulation.timeline import Process
from volplug.source import Source
from volplug.testing import MemoryMounts
from volplug.volume import AccessMode

if TYPE_CHECKING:
    from tests.simulation.warden import Warden
    from tests.simulation.world import World

DRAIN_S = 0.45
"""A write that was begun has reached the disk by then, or never will."""

WRITE_EVERY_S = 0.7

SLEEPS = 0.3
"""How often a mount program that is to be killed sleeps in the kernel, where no signal ends it."""

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
    uninterruptible: bool = False
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

    def spare_guard(self) -> None:
        """Let a guard start again: without it and without volplug nobody could stop anything."""
        if self.warden is not None:
            self.warden.begin_again()

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
        self._mount_after(self.world.random.uniform(0.01, 0.3), mount, call)

    def _mount_after(self, delay_s: float, mount: Mount, call: Call) -> None:
        child = self.process("mount")
        self.mounting[mount] = child, call

        def work() -> None:
            sleep(delay_s)
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

    def kill_mounting(self, mount: Mount) -> None:
        """Kill a child that mounts; one that sleeps in the kernel mounts in the end anyway."""
        child, call = self.mounting[mount]
        if mount.uninterruptible:
            return
        self.world.timeline.after(0.0, child.kill)
        child.alive = False
        if self.world.random.random() >= SLEEPS:
            del self.mounting[mount]
            return
        self.world.note(f"mounting {mount.volume} on {self.name} cannot be killed")
        mount.uninterruptible = True
        self._mount_after(self.world.random.uniform(0.1, 8.0), mount, call)

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
