"""One schedule: a cluster of simulated machines, a store, disks, and all that befalls them.

Everything is drawn from one seed, so that a violation can be looked at as often as need be.
"""

import itertools
import json
import traceback
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from greenlet import getcurrent

from tests.simulation.agent import Agent
from tests.simulation.checks import KEYS, Checks
from tests.simulation.engine import Engine
from tests.simulation.faults import Faults
from tests.simulation.machine import Machine
from tests.simulation.network import Cluster, Network
from tests.simulation.operator import MODES, Operator
from tests.simulation.register import Register
from tests.simulation.storage import Disk, FencingDriver, PlainDriver, Storage
from tests.simulation.timeline import Process, Task, Timeline
from tests.simulation.warden import Warden
from volplug.catalog import Record, RecordState
from volplug.etcd.entry import Entry
from volplug.etcd.wire import put
from volplug.host import Filesystem, Formatted

_START = datetime(2026, 1, 1, tzinfo=UTC)
_RATE_ERROR = 0.1005


class World:
    """All there is in one schedule."""

    nowhere = Path("/nowhere")
    wait_s = 0.2
    keeper_s = 8.0

    def __init__(self, seed: int, *, level: int, tell: bool = False, beyond: bool = False) -> None:
        """`beyond` lets machines freeze that have only a guard: more than the level promises."""
        self.seed = seed
        self.level = level
        self.beyond = beyond
        self.random = Random(seed * 4 + level)  # noqa: S311  chance, not a secret
        self.numbers = itertools.count(1)
        self.timeline = Timeline()
        self.history: list[str] | None = [] if tell else None
        self.checks = Checks(self)
        self.network = Network(self.timeline, self.random)
        self.register = Register(self.checks.changed)
        self.cluster = Cluster(
            self.register, self.timeline, self.random, self.random.choice((3, 3, 5))
        )
        self.storage = Storage(self.network, self.checks.overtaken, self._accepted)
        self.driver = FencingDriver if level == 3 else PlainDriver
        self.machines = [
            Machine(self, f"n{number}", 1 + self._rate_error())
            for number in range(self.random.choice((3, 3, 3, 4, 5)))
        ]
        self.patient = False
        self.volumes = {
            f"vol{number}": self.random.choice(MODES)
            for number in range(self.random.choice((1, 1, 1, 2, 3)))
        }
        self.agents: dict[str, Agent] = {}
        self.faults = Faults(self)
        self.operator = Operator(self)
        self.engines = {machine.name: Engine(self, machine) for machine in self.machines}

    def begin(self) -> None:
        """Switch everything on, make the volumes, and let engines want them."""
        self._write_records()
        self.operator.begin()
        for machine in self.machines:
            self.boot(machine)
            self._supervise(machine)
            for volume in self.volumes:
                self.timeline.after(
                    self.random.uniform(0.5, 4.0), self.engines[machine.name].wish, volume
                )

    def boot(self, machine: Machine) -> None:
        """Power a machine on; its guard comes first."""
        machine.power_on()
        machine.warden = Warden(self, machine) if self.level < 3 else None

    def end(self) -> None:
        """Let nothing go on."""
        for machine in self.machines:
            machine.crash()

    def calm(self) -> None:
        """Let all be well from now on, and see that everything gets back into order."""
        self.network.quiet = self.cluster.quiet = self.patient = True
        dead = self._leave_one_dead()
        for machine in self.machines:
            if not machine.up and machine is not dead:
                self.boot(machine)
        self._until(self._served, 40.0, "I15", "volumes are not served")
        for engine in self.engines.values():
            engine.leave_all()
        self._until(self._empty, 60.0, "I14", "something was left behind")

    def _leave_one_dead(self) -> Machine | None:
        """Have a machine, the holder of something if there is one, stay dead, now and then."""
        if self.random.random() >= 0.25:
            return None
        holders = [machine for machine in self.machines if machine.mounts]
        dead = self.random.choice(holders or self.machines)
        self.note(f"{dead.name} stays dead")
        dead.crash()
        return dead

    def _until(self, condition: Callable[[], str], limit_s: float, rule: str, words: str) -> None:
        """Let time pass until nothing is missing; what is missing at the end is a violation."""
        end_s = self.timeline.now_s + limit_s
        while (missing := condition()) and self.timeline.now_s < end_s:
            self.timeline.run(self.timeline.now_s + 0.5)
        if missing:
            self.checks.violated(rule, f"{words} after {limit_s} s of calm: {missing}")

    def _served(self) -> str:
        """Say which volumes nobody can write to."""
        return ", ".join(volume for volume in self.volumes if not self.served(volume))

    def has_record(self, volume: str) -> bool:
        """Say whether a volume is known to the store."""
        found = self.register.value(KEYS.volume(volume))
        return found is not None and bool(json.loads(b64decode(found.text))["record"])

    def served(self, volume: str) -> bool:
        """Say whether a container has a volume and can use it."""
        for machine in self.machines:
            mount = machine.mounts.get(volume)
            if mount is not None and mount.containers and not machine.halted:
                usable = mount.writable or mount.access.read_only
                if usable and self.storage.disks[mount.handle].admits(machine.name):
                    return True
        return False

    def _empty(self) -> str:
        """Say what is left of leases, mounts and rows, and who is still kept out for a mount."""
        left = self.checks.standing_leases() + self.checks.quarantined()
        for machine in (each for each in self.machines if each.up):
            left += [f"{machine.name} mounts {volume}" for volume in machine.mounts]
            left += [f"{row}" for row in machine.rows.rows()]
        return ", ".join(left)

    def _write_records(self) -> None:
        """Put the volumes into the store as if they had been made long ago."""
        for name, access in self.volumes.items():
            handle = self.storage.create(name, fenced=self.driver.fenced)
            record = Record(
                name, "disks", access, {}, _START, state=RecordState.READY, handle=handle,
                filesystem=Filesystem(Formatted.READY),
            )  # fmt: skip
            text = Entry(record).to_json()
            self.register.txn({"compare": [], "success": [put(KEYS.volume(name), text)]})

    def _supervise(self, machine: Machine) -> None:
        """Start volplug wherever it should run and does not."""
        self.timeline.after(0.5, self._supervise, machine)
        agent = self.agents.get(machine.name)
        running = agent is not None and agent.process.alive
        if machine.up and not machine.kept_down and not machine.halted and not running:
            self.agents[machine.name] = Agent(self, machine)

    def who(self) -> str:
        """Return the name of the process that runs now."""
        task = getcurrent()
        return task.process.name if isinstance(task, Task) else "nobody"

    def machine(self, name: str) -> Machine:
        """Return a machine by its name."""
        return next(each for each in self.machines if each.name == name)

    def note(self, text: str) -> None:
        """Write down what happens, if anybody wants to read it."""
        if self.history is not None:
            self.history.append(f"{self.timeline.now_s:10.4f} {text}")

    def utc(self) -> datetime:
        """Return the wall clock, which nothing is decided by."""
        return _START + timedelta(seconds=self.timeline.now_s)

    def failed(self, process: Process, error: BaseException) -> None:
        """Note an exception that nobody caught."""
        self.checks.violated("bug", f"{process.name}: {''.join(traceback.format_exception(error))}")

    def _accepted(self, disk: Disk, token: int, first: bool) -> None:
        """After the first write under a token, let all others that can write do so at once."""
        if not first:
            return
        self.note(f"disk {disk.name}: first write under token {token}")
        for machine in self.machines:
            mount = machine.mounts.get(disk.name)
            if mount is not None and mount.token != token and mount.containers:
                machine.write(mount, 0.0)

    def _rate_error(self) -> float:
        chance = self.random.random()
        if chance < 0.3:
            return _RATE_ERROR
        if chance < 0.6:
            return -_RATE_ERROR
        return self.random.uniform(-_RATE_ERROR, _RATE_ERROR)
