"""The agent of a machine, from its start to its end: it takes volumes, renews, and gives them back.

It knows what it was told, and that may be less than what was done: so what it asked for in vain is
remembered over its end, for the next life may be given it.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.etcd.history import Tenure
from tests.etcd.ledger import boottime_s
from volplug.deadline import deadline
from volplug.errors import DeadlineExceeded, HeldElsewhere, HostError, Unavailable
from volplug.etcd import EtcdStore
from volplug.lease import Lease, LeaseState
from volplug.session import Session
from volplug.takeover import Ground, Storage, Takeover, ground, guard_level, wait_s
from volplug.volume import AccessMode

if TYPE_CHECKING:
    from tests.etcd.hosts import Host

PREFIX = "/machines"
RENEW_S = 0.5


def from_the_sending(sent_s: float, answered_s: float) -> float:
    """Return from when a guard counts: the first sending, whenever that was answered."""
    del answered_s
    return sent_s


@dataclass(frozen=True)
class Profile:
    """How long a machine writes without a renewal, from when that counts, and how long it asks.

    Who gives up early leaves a change in doubt, which the next one settles.
    """

    hold_ms: int = 4000
    patiences_s: tuple[float, ...] = (1.0, 8.0)
    holds_s: tuple[float, ...] = (0.2, 1.0, 3.0, 20.0)
    base: Callable[[float, float], float] = from_the_sending


@dataclass
class Record:
    """What a machine was told, and what became of it."""

    tenures: dict[int, Tenure] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    troubles_s: list[tuple[float, float]] = field(default_factory=list)
    problems: list[BaseException] = field(default_factory=list)


class Life:
    """One life of the agent of a machine: a session, its renewals, and what it takes and leaves."""

    def __init__(self, host: "Host", boot: str) -> None:
        self.over = threading.Event()
        self._host = host
        self._boot = boot

    def live(self, end: threading.Event) -> None:
        """Live until killed, or until the session is another's, or the end of all."""
        host = self._host
        session = Session(host.name, self._boot, host.name, "agent", hold_ms=host.profile.hold_ms)
        began_s = boottime_s()
        with deadline(20.0):
            store = EtcdStore(host.access, prefix=PREFIX)
            self._leases = store.leases(session)
        # it sees the others' sessions for the first time
        host.record.troubles_s.append((began_s, boottime_s()))
        works = [self._renew, *(lambda one=one: self._use(one) for one in host.ledgers)]
        threads = [threading.Thread(target=self._go_on, args=(work,)) for work in works]
        for thread in threads:
            thread.daemon = True
            thread.start()
        while not (end.is_set() or self.over.wait(0.05)):
            pass
        self.over.set()
        for thread in threads:
            thread.join(30)
        store.close()

    def _go_on(self, work: Callable[[], None]) -> None:
        host, record = self._host, self._host.record
        while not self.over.is_set():
            host.running.wait()
            try:
                work()
            except HeldElsewhere:
                record.counts["barred"] += 1
            except (Unavailable, DeadlineExceeded):
                record.counts["in doubt"] += 1
            except HostError:
                if not self.over.is_set():
                    self.over.set()
                    host.lost()
            except BaseException as error:  # noqa: BLE001  whoever runs the machines shows it
                record.problems.append(error)
                self.over.set()
            self.over.wait(0.1)

    def _renew(self) -> None:
        host = self._host
        sent_s = boottime_s()
        try:
            with deadline(host.patience_s()):
                self._leases.renew(guard_level=1)
        except (Unavailable, DeadlineExceeded):  # it begins to watch the others anew
            host.record.troubles_s.append((sent_s, boottime_s()))
            raise
        if boottime_s() - sent_s > 2.0:
            host.record.troubles_s.append((sent_s, boottime_s()))
        host.renewed(host.profile.base(self._leases.renewed_s(), boottime_s()), self)
        self.over.wait(RENEW_S - 0.1)

    def _use(self, volume: str) -> None:
        host = self._host
        with deadline(host.patience_s()):
            lease = self._acquire(volume)
        base_s = host.profile.base(self._leases.renewed_s(), boottime_s())
        if host.begin(lease, base_s, self):
            until_s = boottime_s() + host.random.choice(host.profile.holds_s)
            while boottime_s() < until_s and host.writes(lease) and not self.over.wait(0.05):
                host.running.wait()
        self._give_back(lease)

    def _acquire(self, volume: str) -> Lease:
        # What was asked for in vain may have been granted: then it is this lease that we are given.
        host = self._host
        asked_s = host.asked_s.setdefault(volume, boottime_s())
        self._clean_up()
        for lease in self._leases.leases(volume):
            if lease.state is LeaseState.LAPSED and lease.node != host.name:
                self._take(lease)
        try:
            lease = self._leases.acquire(volume, AccessMode.SINGLE_WRITER)
        except HeldElsewhere:
            del host.asked_s[volume]
            raise
        del host.asked_s[volume]
        tenure = Tenure(volume, host.name, lease.token, asked_s, boottime_s(), boottime_s())
        host.record.tenures.setdefault(lease.token, tenure)
        return lease

    def _clean_up(self) -> None:
        """Let go of what was taken from us, and say so: before that we get nothing new."""
        for volume, token in self._leases.stale():
            self._host.drop(volume, token)
            self._leases.report_clean(volume, token)

    def _take(self, lease: Lease) -> None:
        """Take a silent node's lease away: over the storage's refusal, or because it is guarded."""
        ledger = self._host.ledgers[lease.volume]
        storage = Storage(fencing=ledger.fences, drain_s=0.0, takeover=Takeover.TIMED)
        nodes = self._leases.nodes()
        match ground(storage, guard_level(lease, nodes)):
            case Ground.FENCE:
                ledger.fence(lease.token)
            case Ground.SILENCE:
                [holder] = [one for one in nodes if one.node == lease.node]
                if holder.silence.lasted_s < wait_s(storage, holder):
                    return
            case Ground.WORD:
                return
        self._leases.condemn(lease, by=self._host.name, reason="it was silent")
        self._host.record.counts["taken by fence" if ledger.fences else "taken by time"] += 1

    def _give_back(self, lease: Lease) -> None:
        if not self.over.is_set():
            self._host.leave(lease.volume)
        while not self.over.is_set():
            try:
                with deadline(self._host.patience_s()):
                    self._leases.release(lease)
                    return
            except HeldElsewhere:
                return  # it was taken away, and is another's by now
            except (Unavailable, DeadlineExceeded):
                self._host.record.counts["in doubt"] += 1
