"""Machines that write to volumes under leases, and stop as their guards' rules tell them.

A machine's volplug may be paused or killed while its writers and its guard go on; the machine may
die with all of it, and come back as another boot. All of it is in this process, so that the order
of what happens is known: only the cluster is real, and the doors to it.
"""

import itertools
import random
import threading

from tests.etcd.ledger import Ledger, boottime_s
from tests.etcd.life import Life, Profile, Record
from tests.etcd.proxy import Proxy
from volplug.errors import DeadlineExceeded, Unavailable
from volplug.etcd import Access
from volplug.etcd.access import Endpoint
from volplug.guard import Guard, Late, State, Times
from volplug.lease import Lease
from volplug.session import BoottimeClock

_BOOTS = itertools.count(1)


class _Writers:
    """The Stopper of a volume whose writers look at the guard before each write."""

    def freeze(self) -> None:
        """Do nothing."""

    def thaw(self) -> None:
        """Do nothing."""

    def stop(self) -> bool:
        """Say that nobody writes."""
        return True


class Host:
    """One machine."""

    def __init__(
        self, name: str, ports: list[int], ledgers: list[Ledger], profile: Profile, seed: int
    ) -> None:
        self.name = name
        self.record = Record()
        self.doors = [Proxy(port, seed) for port in ports]
        self.ledgers = {each.volume: each for each in ledgers}
        self.profile = profile
        self.random = random.Random(seed)  # noqa: S311  chance, not a secret
        self.asked_s: dict[str, float] = {}
        self.running = threading.Event()
        self.running.set()
        self.life: Life | None = None
        self.held: dict[str, int] = {}
        self._times = Times.of(profile.hold_ms)
        self._guard = Guard(BoottimeClock())
        self._refused: set[int] = set()
        self._safe = threading.RLock()
        self._end = threading.Event()
        self._up = threading.Event()
        self._boot = 0
        self._threads = [
            threading.Thread(target=self._write_on, daemon=True),
            threading.Thread(target=self._live_on, daemon=True),
        ]

    @property
    def access(self) -> Access:
        """How it reaches the cluster."""
        return Access(tuple(Endpoint("http", "127.0.0.1", door.port) for door in self.doors))

    def patience_s(self) -> float:
        """Return how long the agent asks this time."""
        return self.random.choice(self.profile.patiences_s)

    def start(self) -> None:
        """Boot."""
        self.boot()
        for thread in self._threads:
            thread.start()

    def boot(self) -> None:
        """Begin as a machine on which nothing of before has stayed."""
        with self._safe:
            self._guard = Guard(BoottimeClock())
            self._boot = next(_BOOTS)
            self._up.set()

    def die(self) -> float:
        """End at once, writers, guard and all; return when that was."""
        with self._safe:
            self._up.clear()
            self.held.clear()
            self.kill_agent()
            return boottime_s()

    def kill_agent(self) -> None:
        """End the agent; the writers and the guard go on, and a new agent comes."""
        if self.life is not None:
            self.life.over.set()

    def end(self) -> None:
        """End for good, and wait for that."""
        self._end.set()
        self.running.set()
        for door in self.doors:
            door.line.mend()
        for thread in self._threads:
            thread.join(60)
        for door in self.doors:
            door.close()

    def begin(self, lease: Lease, base_s: float, life: Life) -> bool:
        """Let the writers write under a lease, if it came in time and was not stopped before."""
        with self._safe:
            if life.over.is_set():
                return False
            if lease.token in self._refused:
                return False
            if not self.ledgers[lease.volume].fences:
                try:
                    self._arm(lease, base_s)
                except Late:
                    self.record.counts["too late"] += 1
                    return False
            self.held[lease.volume] = lease.token
            return True

    def leave(self, volume: str) -> None:
        """Let the writers end."""
        with self._safe:
            self.held.pop(volume, None)
            for armed in self._guard.armed():
                if armed.volume == volume:
                    self._guard.disarm(volume, armed.token)

    def drop(self, volume: str, token: int) -> None:
        """Let the writers under a token end, for it was taken away; others' go on."""
        with self._safe:
            if self.held.get(volume) == token:
                self.leave(volume)

    def renewed(self, base_s: float, life: Life) -> None:
        """Tell the guard."""
        with self._safe:
            if not life.over.is_set():
                self._guard.renew(base_s)

    def lost(self) -> None:
        """Tell the guard that the session is another's."""
        with self._safe:
            self.record.counts["sessions lost"] += 1
            self._guard.stop_all()

    def writes(self, lease: Lease) -> bool:
        """Say whether the lease can still be written under, now or after a thaw."""
        with self._safe:
            if self.held.get(lease.volume) != lease.token or lease.token in self._refused:
                return False
            armed = self._guard.get(lease.volume, lease.token)
            return armed is None or armed.state is not State.STOPPED

    def _arm(self, lease: Lease, base_s: float) -> None:
        for armed in self._guard.armed():
            if armed.volume == lease.volume and armed.token != lease.token:
                self._guard.stop(armed.volume, armed.token)
        self._guard.arm(lease.volume, lease.token, self._times, base_s, _Writers())

    def _write_on(self) -> None:
        while not self._end.wait(0.005):
            for volume in self.ledgers:
                self._write(volume)

    def _write(self, volume: str) -> None:
        ledger = self.ledgers[volume]
        with self._safe:
            token = self.held.get(volume)
            if token is None:
                return
            if ledger.fences:
                if not ledger.write(token):
                    self._refused.add(token)
                return
            self._guard.tick()
            armed = self._guard.get(volume, token)
            if armed is not None and armed.state is State.ACTIVE:
                ledger.write(token)

    def _live_on(self) -> None:
        while not self._end.is_set():
            self._up.wait(1.0)
            if not self._up.is_set():
                continue
            boot = f"boot {self._boot}"
            life = Life(self, boot)
            with self._safe:
                self.life = life
            try:
                life.live(self._end)
            except (Unavailable, DeadlineExceeded):
                self.record.counts["in doubt"] += 1
            except BaseException as error:  # noqa: BLE001  whoever runs the machines shows it
                self.record.problems.append(error)
                return
