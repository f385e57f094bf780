"""What befalls a schedule: seven of ten faults hit whoever holds a volume at that moment.

Each fault has an end, which comes by itself after a while, or when the schedule is to become quiet.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.simulation.checks import KEYS
from tests.simulation.machine import Machine
from tests.simulation.network import Member
from tests.simulation.register import plain
from tests.simulation.threads import sleep
from tests.simulation.timeline import current

if TYPE_CHECKING:
    from tests.simulation.world import World

Undo: TypeAlias = Callable[[], None]

AT_HOLDER = 0.7
AT_STEP = 0.006
AT_GRANT = 0.02
AT_FENCE = 0.15
AT_CONDEMNATION = 0.3

UNSTARTABLE, UNTOLD = 0.2, 0.25
"""When it would come back: a guard that would be later than this cannot be started for a while."""


class Faults:
    """The faults of one schedule."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.random = world.random
        self.happened: list[str] = []
        self._open: dict[int, Undo] = {}
        self._whose: dict[int, str] = {}
        self._late_until_s: dict[str, float] = {}
        self._kinds: list[Callable[[], None]] = [
            self.pause, self.pause, self.kill, self.kill, self.crash, self.partition,
            self.partition, self.stick, self.member_down, self.outage, self.outage,
        ]  # fmt: skip
        if world.level < 3:
            self._kinds.append(self.kill_guard)
        if world.level == 3 or world.beyond:
            self._kinds += [self.freeze, self.freeze, self.suspend, self.storage_partition]

    def plan(self, until_s: float) -> None:
        """Let one to six faults happen in time."""
        for _ in range(self.random.randint(1, 6)):
            at_s = self.random.uniform(4.0, 0.75 * until_s)
            self.world.timeline.after(at_s, self._happen, self.random.choice(self._kinds))

    def end_all(self) -> None:
        """End all faults that have not ended yet."""
        for undo in list(self._open.values()):
            undo()

    def pause(self) -> None:
        """Stop volplug's process; guard and containers run on."""
        machine = self._victim()
        agent = self.world.agents.get(machine.name)
        if agent is None or not agent.process.alive:
            return
        process = agent.process
        machine.spare_guard()
        process.stop()
        self._for("pause", machine.name, self._long(), process.go_on)

    def kill(self) -> None:
        """Kill volplug's process; it is started again after a while."""
        machine = self._victim()
        agent = self.world.agents.get(machine.name)
        if agent is None or not agent.process.alive:
            return
        machine.spare_guard()
        agent.process.kill()
        machine.kept_down += 1

        def undo() -> None:
            machine.kept_down -= 1

        self._for("kill", machine.name, self.random.choice((1.0, self._long())), undo)

    def crash(self) -> None:
        """Let a machine lose its power; it boots again after a while."""
        machine = self._victim()
        if not machine.up:
            return
        machine.crash()

        def undo() -> None:
            self.world.boot(machine)

        self._for("crash", machine.name, 2.0 + 1.5 * self._long(), undo)

    def kill_guard(self) -> None:
        """Kill a guard; it is started again at once, and finds what it had written down.

        Or it cannot be started for a while. Then the store may go away before it could be told.
        """
        machine = self._victim()
        warden = machine.warden
        if warden is None or not warden.process.alive or machine.halted:
            return
        self.world.note(f"FAULT kill of the guard of {machine.name}")
        agent = self.world.agents.get(machine.name)
        process = agent.process if agent is not None and agent.ready else None
        again_s = self.random.uniform(0.05, 0.3)
        warden.die()
        if again_s < UNSTARTABLE or process is None or not process.alive or process.stopped:
            self.world.timeline.after(again_s, warden.begin_again)
            return
        away_s = 400.0 * (again_s - UNSTARTABLE)
        self._for("guard that cannot be started", machine.name, away_s, warden.begin_again)
        if again_s > UNTOLD:
            self._cut(machine, self.world.cluster.members, away_s)

    def partition(self) -> None:
        """Cut a machine off from the store, or from some of its members."""
        machine = self._victim()
        members = list(self.world.cluster.members)
        if self.random.random() < 0.3:
            members = self.random.sample(members, len(members) - 1)
        self._cut(machine, members, self._long())

    def _cut(self, machine: Machine, members: Sequence[Member], seconds: float) -> None:
        for member in members:
            self.world.network.cut(machine.name, member.name)

        def undo() -> None:
            for member in members:
                self.world.network.mend(machine.name, member.name)

        self._for("partition", machine.name, seconds, undo)

    def storage_partition(self) -> None:
        """Cut a machine off from what manages the storage."""
        machine = self._victim()
        self.world.network.cut(machine.name, "storage")
        self._for(
            "storage partition",
            machine.name,
            self._long(),
            lambda: self.world.network.mend(machine.name, "storage"),
        )

    def stick(self) -> None:
        """Let a member take requests, and work on them only later."""
        member = self.random.choice(self.world.cluster.members)
        member.stuck += 1

        def undo() -> None:
            member.stuck -= 1
            member.settle()

        self._for("stuck", member.name, self._long(), undo)

    def member_down(self) -> None:
        """Let a member refuse all connections."""
        member = self.random.choice(self.world.cluster.members)
        member.down += 1

        def undo() -> None:
            member.down -= 1

        self._for("down", member.name, self._long(), undo)

    def outage(self) -> None:
        """Let the store lose its quorum, for an election or for long."""
        cluster = self.world.cluster
        cluster.out += 1

        def undo() -> None:
            cluster.out -= 1
            cluster.settle()

        outage_s = self.random.choice((self.random.uniform(0.5, 3.5), self._long()))
        self._for("outage", "etcd", outage_s, undo)

    def freeze(self) -> None:
        """Let a hypervisor stop a machine with its clocks."""
        self._halt("freeze", self._victim(), clocks=True)

    def suspend(self) -> None:
        """Let a machine sleep: CLOCK_BOOTTIME goes on."""
        self._halt("suspend", self._victim(), clocks=False)

    def _halt(self, kind: str, machine: Machine, *, clocks: bool) -> None:
        if not machine.up or machine.halted:
            return
        machine.halt(clocks=clocks)
        boot = machine.boot

        def undo() -> None:
            if machine.boot == boot and machine.halted:
                machine.wake()

        self._for(kind, machine.name, self._long(), undo)

    def _victim(self) -> Machine:
        """Choose a machine, a holder in most cases."""
        holders = [
            machine
            for machine in self.world.machines
            if any(mount.writable and mount.containers for mount in machine.mounts.values())
        ]
        if holders and self.random.random() < AT_HOLDER:
            return self.random.choice(holders)
        return self.random.choice(self.world.machines)

    def _long(self) -> float:
        return self.random.choice((self.random.uniform(1.0, 12.0), self.random.uniform(8.0, 30.0)))

    def at_step(self, name: str) -> None:
        """Strike volplug now and then right between two effects of its own."""
        task = current()
        if self.world.patient or self.random.random() >= AT_STEP:
            return
        agent = task.process.owner
        kind = self.random.choice(("kill", "pause", "halt"))
        self.world.note(f"at {name} of {agent.machine.name}:")
        agent.machine.spare_guard()
        if kind == "kill":
            task.process.end()
        if kind == "halt" and (self.world.level == 3 or self.world.beyond):
            self._halt("freeze", agent.machine, clocks=self.random.random() < 0.5)
        else:
            task.process.stop()
            self._for("pause", agent.machine.name, self._long(), task.process.go_on)
        sleep(0.0)

    def at_request(self, body: Mapping[str, Any]) -> float:
        """Strike now and then at the moments that count most; return how long a request is held up.

        Who asks for a lease, or notes how far a fence is, stands still before the answer comes. Who
        takes a lease away is heard late, and whose it was is back meanwhile.
        """
        written = [
            plain(each["request_put"]["key"]) for each in body["success"] if "request_put" in each
        ]
        for key in () if self.world.patient else written:
            if key.startswith(KEYS.leases()) and self.random.random() < AT_GRANT:
                self._stop_asker("grant")
            if key.startswith(KEYS.fences()) and self.random.random() < AT_FENCE:
                self._stop_asker("fence")
            if key.startswith(KEYS.condemnations()):
                return self._hold_up(key)
        return 0.0

    def _hold_up(self, key: str) -> float:
        """Return how late a condemnation is, and its copies are; its holder comes back by then."""
        now_s = self.world.timeline.now_s
        if key not in self._late_until_s:
            self._late_until_s[key] = now_s
            if self.random.random() < AT_CONDEMNATION:
                self._late_until_s[key] += self.random.uniform(1.0, 5.0)
                self._bring_back_holder(key)
        return max(0.0, self._late_until_s[key] - now_s)

    def _stop_asker(self, what: str) -> None:
        process = current().process
        if not process.stopped:
            process.owner.machine.spare_guard()
            process.stop()
            name = process.owner.machine.name
            self._for(f"pause at a {what}", name, self._long(), process.go_on)

    def _bring_back_holder(self, key: str) -> None:
        """End what keeps the holders of a volume away."""
        volume, _ = KEYS.condemnation_parts(key)
        holders = {
            KEYS.lease_parts(each.key)[1] for each in self.world.register.below(KEYS.leases(volume))
        }
        self.world.note(f"a condemnation on {volume} is held up, while its holder comes back")
        for number, undo in list(self._open.items()):
            if self._whose[number] in holders:
                undo()

    def _happen(self, kind: Callable[[], None]) -> None:
        if not self.world.patient:
            kind()

    def _for(self, kind: str, whom: str, seconds: float, undo: Undo) -> None:
        """Note a fault, and let it end after a while; it ends once."""
        number = len(self.happened)
        self.happened.append(kind)
        self.world.note(f"FAULT {kind} of {whom} for {seconds:.1f} s")

        def end() -> None:
            if self._open.pop(number, None) is not None:
                self.world.note(f"end of the {kind} of {whom}")
                undo()

        self._open[number] = end
        self._whose[number] = whom
        self.world.timeline.after(seconds, end)
