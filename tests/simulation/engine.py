"""A container engine: it wants volumes, uses them for a while, and forgets to say so at times."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.machine import Container, Machine, Mount
from volplug.errors import VolplugError

if TYPE_CHECKING:
    from tests.simulation.world import World

_FORGOTTEN = 0.03
"""How many Unmounts an engine never sends."""


_SENSIBLE = 0.75
"""How often nobody tries to use what is in good use already."""


class Engine:
    """The engine of one machine; `wishes` are the volumes that it would like to use."""

    def __init__(self, world: "World", machine: Machine) -> None:
        self.world = world
        self.machine = machine
        self.wishes: set[str] = set()
        self._numbers = itertools.count(1)
        self._asking: dict[str, int] = {}

    def wish(self, volume: str) -> None:
        """Want a volume again and again from now on."""
        self.wishes.add(volume)
        self._later(0.0, self._look, volume)

    def users(self, volume: str) -> int:
        """Count the containers that have a volume here."""
        mount = self.machine.mounts.get(volume)
        return len(mount.containers) if mount else 0

    def _look(self, volume: str) -> None:
        if volume not in self.wishes:
            return
        random = self.world.random
        pause_s = random.uniform(0.5, 1.5) if self.world.patient else random.uniform(0.5, 5.0)
        self._later(pause_s, self._look, volume)
        if self.world.served(volume) and random.random() < _SENSIBLE:
            return
        if self.users(volume) < (1 if self.world.patient or random.random() < 0.9 else 2):
            self._mount(volume)

    def _mount(self, volume: str) -> None:
        agent = self.world.agents.get(self.machine.name)
        serving = agent is not None and agent.ready and agent.process.alive
        if agent is None or not serving or not self.machine.up or self.machine.halted:
            return
        if self._asking.get(volume) == id(agent):
            return  # it is still being served
        self._asking[volume] = id(agent)
        name = f"c{next(self._numbers)}"
        boot = self.machine.boot

        def done(problem: VolplugError | None) -> None:
            self._asking.pop(volume, None)
            if problem is None and self.machine.boot == boot and self.machine.up:
                self._mounted(volume, name)
            elif problem is not None:
                self.world.note(f"{self.machine.name} {volume}: {problem}")

        self.world.note(f"{self.machine.name} mounts {volume} for {name}")
        agent.call(lambda service: service.mount(volume, name), done)

    def _mounted(self, volume: str, name: str) -> None:
        mount = self.machine.mounts.get(volume)
        if mount is None:
            return
        self.world.note(f"{self.machine.name} {volume}: {name} writes under {mount.token}")
        container = self.machine.start_container(mount, name)
        container.died = lambda: self._died(mount.volume, name)
        random = self.world.random
        stay_s = random.choice((random.uniform(1, 10), random.uniform(5, 60)))
        if volume not in self.wishes:
            stay_s = 0.0
        self._later(stay_s, self._leave, mount, container)

    def leave_all(self) -> None:
        """End all containers, and want nothing any more."""
        self.wishes.clear()
        for mount in list(self.machine.mounts.values()):
            for container in list(mount.containers):
                self._leave(mount, container)

    def _leave(self, mount: Mount, container: Container) -> None:
        """End a container; one on a machine that is stopped ends later."""
        if self.machine.halted and not mount.gone:
            self._later(0.5, self._leave, mount, container)
        else:
            self.machine.end_container(mount, container)

    def _died(self, volume: str, name: str) -> None:
        """Tell volplug that a container is gone, in most cases."""
        if self.world.random.random() >= _FORGOTTEN:
            self._unmount(volume, name, 8)

    def _unmount(self, volume: str, name: str, tries: int) -> None:
        agent = self.world.agents.get(self.machine.name)
        if agent is None or not agent.ready or not agent.process.alive or self.machine.halted:
            if tries and self.machine.up:
                self._later(1.0, self._unmount, volume, name, tries - 1)
            return
        self.world.note(f"{self.machine.name} unmounts {volume} of {name}")
        agent.call(lambda service: service.unmount(volume, name), lambda _: None)

    def _later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> None:
        self.world.timeline.after(delay_s, call, *arguments)
