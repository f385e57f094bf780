"""The guard's process: one thread that sleeps until something is due or somebody speaks.

It knows nothing of the store. It is told when the agent renewed, and acts on not being told: so it
does not matter whether the agent is dead, stopped, hung, or cut off. What it was told is in its
table, from which the next guard goes on if this one dies.
"""

import os
import select
import signal
import socket
from contextlib import suppress

from volplug.guard import Armed, Guard, Late, Level, State, Times
from volplug.linux import fuse
from volplug.linux.guard import alarm, note, wire
from volplug.linux.guard.post import Log, Post
from volplug.linux.guard.stopping import LinuxStopper, Place
from volplug.linux.guard.table import Entry, Table
from volplug.linux.guard.watchdog import PERIOD_S, Watchdog
from volplug.linux.guard.wire import Words
from volplug.session import BoottimeClock

_IDLE_S = 30.0
"""How long a guard with nothing to guard waits for an agent to come back."""


class Server:
    """One guard at its post."""

    def __init__(self, post: Post, log: Log, *, stays: bool) -> None:
        self._post = post
        self._log = log
        self._stays = stays
        self._clock = BoottimeClock()
        self._table = Table(post.directory / wire.TABLE, post.boot_id, writable=True)
        self._guard = Guard(self._clock, self._tell)
        self._alarm = alarm.Alarm()
        self._watchdog = self._open_watchdog()
        self._troubled: set[tuple[str, int]] = set()
        self._ending = False
        self._idle_until_s: float | None = None
        left = note.find(post.directory, post.boot_id, self._clock.now())
        for entry in self._table.read():
            self._resume(entry, left.renewed_s(entry.volume, entry.token))
        with suppress(Exception):  # an abort looks again when it is needed
            fuse.list_connections()
        self._listener = wire.listen(post.directory)
        self._poll = select.poll()
        self._callers: dict[int, socket.socket] = {}
        self._poll.register(self._alarm.fd, select.POLLIN)
        self._poll.register(self._listener, select.POLLIN)
        signal.signal(signal.SIGTERM, self._asked_to_end)
        signal.signal(signal.SIGINT, self._asked_to_end)
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._woken = woken
        self._poll.register(woken, select.POLLIN)

    @property
    def level(self) -> Level:
        """What this guard can answer for."""
        return Level.PROCESS if self._watchdog is None else Level.WATCHDOG

    def run(self) -> None:
        """Do what is due, and answer, until the end."""
        while not self._is_over():
            due_s = [self._guard.tick(), self._idle_until_s]
            if self._watchdog is not None and self._all_is_well():
                self._pet(self._watchdog)
                due_s.append(self._clock.now() + PERIOD_S)
            self._alarm.set(min((moment for moment in due_s if moment is not None), default=None))
            for fd, _ in self._poll.poll():
                self._attend(fd)
        (self._post.directory / wire.SOCKET).unlink(missing_ok=True)
        if self._watchdog is not None:
            self._watchdog.close()
        self._log.write("ends, with nothing armed")

    def _is_over(self) -> bool:
        """Say whether to end: told to, or long since without anybody, and with nothing armed."""
        if self._guard.armed():
            self._idle_until_s = None
            return False
        if self._ending:
            return True
        if self._stays or self._callers:
            self._idle_until_s = None
        elif self._idle_until_s is None:
            self._idle_until_s = self._clock.now() + _IDLE_S
        return self._idle_until_s is not None and self._clock.now() >= self._idle_until_s

    def _attend(self, fd: int) -> None:
        if fd == self._alarm.fd:
            self._alarm.heard()
        elif fd == self._woken:
            os.read(fd, 64)
        elif fd == self._listener.fileno():
            with suppress(OSError):
                caller, _ = self._listener.accept()
                caller.setblocking(False)
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                self._callers[caller.fileno()] = caller
                self._poll.register(caller, select.POLLIN)
        else:
            self._answer(self._callers[fd])

    def _answer(self, caller: socket.socket) -> None:
        """Answer one question; hang up on who is gone, does not listen, or makes no sense."""
        try:
            words = wire.receive(caller)
            if words is not None:
                wire.send(caller, self._do(words))
                return
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._log.write(f"hung up on a caller: {error}")
        self._poll.unregister(caller)
        del self._callers[caller.fileno()]
        caller.close()

    def _do(self, words: Words) -> Words:
        refused = ""
        match words["do"]:
            case "arm":
                refused = self._arm(words)
            case "staged":
                self._staged(words["volume"], words["token"])
            case "renew":
                self._guard.renew(self._moment(words["base_s"]))
            case "disarm":
                self._disarm(words["volume"], words["token"])
            case "settle":
                refused = self._settle({(volume, token) for volume, token in words["mine"]})
            case "stop":
                self._guard.stop_all()
            case "end":
                self._ending = self._ending or not self._stays
            case "look":
                pass
            case unknown:
                raise ValueError(f"unknown request {unknown!r}")
        armed = self._guard.armed()
        return {
            "refused": refused,
            "level": int(self.level),
            "process": os.getpid(),
            "armed": [[one.volume, one.token, int(one.state), one.done] for one in armed],
        }

    def _arm(self, words: Words) -> str:
        times = Times(words["freeze_s"], words["stop_s"])
        stopper = self._stopper(words["volume"], words["token"])
        try:
            base_s = self._moment(words["base_s"])
            self._guard.arm(words["volume"], words["token"], times, base_s, stopper)
        except Late as error:
            return str(error)
        return ""

    def _moment(self, said: float) -> float:
        """Return a first sending as it was said; raise ValueError for one yet to come."""
        moment_s = float(said)
        if not moment_s <= self._clock.now():
            raise ValueError(f"{said} is yet to come")
        return moment_s

    def _staged(self, volume: str, token: int) -> None:
        armed = self._guard.get(volume, token)
        if armed is not None:
            assert isinstance(armed.stopper, LinuxStopper)
            armed.stopper.staged = True
            self._store(armed)

    def _disarm(self, volume: str, token: int | None) -> None:
        for armed in self._guard.armed():
            if armed.volume == volume and token in (None, armed.token):
                self._guard.disarm(volume, armed.token)
                self._table.remove(volume)

    def _settle(self, mine: set[tuple[str, int]]) -> str:
        """Stop what is armed under leases that are not its node's any more."""
        foreign = [one for one in self._guard.armed() if (one.volume, one.token) not in mine]
        for armed in foreign:
            self._guard.stop(armed.volume, armed.token)
        return ""

    def _resume(self, entry: Entry, renewed_s: float) -> None:
        stopper = self._stopper(entry.volume, entry.token)
        stopper.staged = entry.staged
        times = Times(entry.freeze_s, entry.stop_s)
        self._guard.resume(
            Armed(entry.volume, entry.token, times, entry.base_s, stopper, entry.state), renewed_s
        )

    def _stopper(self, volume: str, token: int) -> LinuxStopper:
        return LinuxStopper(Place(volume, token, self._post))

    def _tell(self, armed: Armed, trouble: Exception | None) -> None:
        before = self._table.state(armed.volume)
        self._store(armed)
        what = f"volume={armed.volume} token={armed.token}"
        if armed.state is not before and (before or armed.state is not State.ACTIVE):
            late_s = self._clock.now() - armed.base_s
            self._log.write(
                f"{what} {armed.state.name.lower()}, {late_s:.1f} s after the last renewal was sent"
            )
        elif armed.done and armed.state is State.STOPPED:
            self._log.write(f"{what} writes no more")
        if trouble is not None and (armed.volume, armed.token) not in self._troubled:
            self._troubled.add((armed.volume, armed.token))
            self._log.write(f"{what} {trouble}")

    def _store(self, armed: Armed) -> None:
        assert isinstance(armed.stopper, LinuxStopper)
        self._table.write(
            Entry(
                armed.volume,
                armed.token,
                armed.base_s,
                armed.times.freeze_s,
                armed.times.stop_s,
                armed.state,
                armed.stopper.staged,
            )
        )

    def _open_watchdog(self) -> Watchdog | None:
        if self._post.watchdog is None:
            return None
        try:
            return Watchdog(self._post.watchdog, self._post.watchdog_s)
        except OSError as error:
            self._log.write(f"no watchdog, so level 1 only: {self._post.watchdog} {error.strerror}")
            return None

    def _all_is_well(self) -> bool:
        """Say whether no volume is past its stop that may still be written."""
        return all(one.state is not State.STOPPED or one.done for one in self._guard.armed())

    def _pet(self, watchdog: Watchdog) -> None:
        try:
            watchdog.pet()
        except OSError as error:
            self._log.write(f"the watchdog does not take its pet: {error.strerror}")

    def _asked_to_end(self, *_: object) -> None:
        self._ending = True
        if self._guard.armed():
            self._log.write(f"stays while {len(self._guard.armed())} volumes are armed")
