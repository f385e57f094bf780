"""A person at the controls: evicts machines that are really off, and makes volumes anew.

An operator's word is believed, so it has to be true: only what has no power is ever evicted here.
What an operator cannot know is how long ago the machine was heard of; production waits for that.
"""

from typing import TYPE_CHECKING

from volplug.errors import VolplugError
from volplug.lease import LeaseState
from volplug.service import Service
from volplug.volume import AccessMode

if TYPE_CHECKING:
    from tests.simulation.agent import Agent
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

MODES = (
    *[AccessMode.SINGLE_WRITER] * 5, AccessMode.SINGLE_CONTAINER, AccessMode.SINGLE_CONTAINER,
    AccessMode.SHARED, AccessMode.SHARED_READ,
)  # fmt: skip


class Operator:
    """Who looks after the cluster of one schedule."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.random = world.random

    def begin(self) -> None:
        """Look at the cluster now and then."""
        self.world.timeline.after(self.random.uniform(3.0, 10.0), self._look)

    def _look(self) -> None:
        pause_s = 2.0 if self.world.patient else self.random.uniform(3.0, 10.0)
        self.world.timeline.after(pause_s, self._look)
        for volume in self._forgotten():
            self._make_anew(volume)
        off = [machine for machine in self.world.machines if not machine.up]
        if self.world.patient:  # what needs nobody's word has to move without one
            off = [each for each in off if not self.world.checks.guarded(each.name)]
        self._evict(off)
        if not self.world.patient and self.random.random() < 0.1:
            self._make_anew(self.random.choice(sorted(self.world.volumes)))

    def _forgotten(self) -> list[str]:
        """Return the volumes that were deleted by somebody who did not come to make them anew."""
        return [
            volume for volume in sorted(self.world.volumes) if not self.world.has_record(volume)
        ]

    def _evict(self, off: "list[Machine]") -> None:
        """Attest that a machine without power can no longer write."""
        agent = self._agent()
        if not off or agent is None:
            return
        name = self.random.choice(off).name
        boot = self.world.machine(name).boot

        def evict(_: Service) -> None:
            for lease in agent.leases.leases():
                truly = not self.world.machine(name).up and self.world.machine(name).boot == boot
                if lease.node == name and lease.state is LeaseState.LAPSED and truly:
                    agent.leases.condemn(lease, by="operator", reason="it has no power")

        agent.call(evict, self._note)

    def _make_anew(self, volume: str) -> None:
        """Delete a volume, if nobody uses it, and make it with another access mode."""
        agent = self._agent()
        if agent is None:
            return
        access = self.random.choice(MODES)

        def make_anew(service: Service) -> None:
            service.remove(volume)
            service.create(volume, {"access": access})

        self.world.note(f"operator makes {volume} anew as {access}")
        agent.call(make_anew, self._note)

    def _agent(self) -> "Agent | None":
        """Return a volplug that can be asked."""
        able = [
            agent
            for name, agent in self.world.agents.items()
            if agent.ready and agent.process.alive and not self.world.machine(name).halted
        ]
        return self.random.choice(able) if able else None

    def _note(self, problem: VolplugError | None) -> None:
        if problem is not None:
            self.world.note(f"operator: {problem}")
