"""The agent's side of the guard: it arms, tells of renewals, and brings a dead guard back.

What the guard was told to watch is known on both sides. So a guard that died is replaced and told
again at once, and meanwhile nobody is told that this node is guarded: a taker that believes so
would give a volume away on our silence alone. Until that was heard, `last_line` does what it would.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from volplug import command
from volplug.errors import Unavailable, VolplugError
from volplug.guard import Clock, Level, State, Times
from volplug.guarding import Claim
from volplug.journal import Journal
from volplug.lease import Lease
from volplug.linux.guard import wire
from volplug.linux.guard.fallback import Duty
from volplug.linux.guard.last_line import LastLine
from volplug.linux.guard.note import Note, leave
from volplug.linux.guard.post import Post
from volplug.linux.guard.seeking import PATIENCE_S, START_S, seek
from volplug.linux.guard.stopping import MARK, mark
from volplug.linux.guard.telling import Telling
from volplug.linux.guard.wire import Words

_log = logging.getLogger(__name__)

_FIRST_AGAIN_S, _LAST_AGAIN_S = 0.1, 10.0


class GuardClient:
    """A guard.Guarding whose guard is a process on this machine."""

    shared_store = True

    def __init__(
        self,
        *,
        post: Post,
        times: Times,
        renewed_s: Callable[[], float],
        clock: Clock,
        start: Callable[[], None],
        journal: Journal | None = None,
        most: Level = Level.WATCHDOG,
    ) -> None:
        """`renewed_s` tells when the last acknowledged change of our session was first sent.

        `start` leaves a guard behind where none answers. No more than `most` is told of the level:
        where the guard dies together with us, it guards nothing.
        """
        self._directory = post.directory
        self._boot_id = post.boot_id
        self._mount_dir = post.mount_dir
        self._times = times
        self._renewed_s = renewed_s
        self._clock = clock
        self._start = start
        self._telling = Telling(journal or Journal())
        self._most = most
        self._level = Level.NONE
        self._claim = Claim()
        self._mine: dict[str, tuple[int, bool]] = {}
        self._stopped: set[tuple[str, int]] = set()
        self._process = 0
        self._heard_s = renewed_s()
        self._last_line = LastLine(post, clock, times, self._duty, self._telling)
        self._connection: socket.socket | None = None
        self._mutex = threading.RLock()
        self._closed = threading.Event()

    def begin(self, mine: list[Lease]) -> None:
        """Find or start the guard, and have it stop what it watches that is not ours any more.

        A guard that cannot be had is logged, and sought until it is there.
        """
        self._last_line.start()
        try:
            tokens = [[lease.volume, lease.token] for lease in mine]
            self._ask({"do": "settle", "mine": tokens})
        except VolplugError as error:
            _log.error("no guard: %s; this node's volumes are not guarded", error)
        threading.Thread(target=self._watch, name="guard", daemon=True).start()

    def level(self) -> Level:
        """Return what may be told of this node now."""
        said = self._claim.say(self._level)
        self._last_line.look()
        return said

    def renewed(self) -> None:
        """Tell the guard of the last renewal; one that does not hear is not counted on.

        One that is not there is sought elsewhere: the next renewal must not wait for its start.
        """
        self._claim.acknowledge()
        self._last_line.look()
        base_s = self._renewed_s()
        try:
            self._ask({"do": "renew", "base_s": base_s}, start=False)
            self._heard_s = base_s
        except VolplugError as error:
            _log.warning("the guard was not told of a renewal: %s", error)
            leases = {(volume, token) for volume, (token, _) in self._mine.copy().items()}
            left = Note(self._boot_id, base_s, frozenset(leases - self._last_line.stopped))
            leave(self._directory, left)

    @contextmanager
    def armed(self, lease: Lease) -> Iterator[None]:
        """Have a volume watched from here on, and in the block whatever program works on it.

        Raises Unavailable, before anything is touched, if the grant is too old by now, and if the
        guard cannot be had while others still count on it.
        """
        self._arm(lease, staged=False)
        word = mark(self._mount_dir, lease.volume, lease.token)
        with command.on_behalf(MARK, word, lambda: self._check(lease)):
            yield
        self._say_staged(lease)

    def adopt(self, lease: Lease) -> None:
        """Have a volume watched that is mounted here already; repeating is success.

        One that could not be armed is here all the same, so no level is told until it is, or is
        disarmed: a taker would wait for a stop that nobody makes.
        """
        self._arm(lease, staged=True)
        self._say_staged(lease)

    def disarm(self, volume: str) -> None:
        """Let a volume go that is not mounted here any more. Repeating is success."""
        self._mine.pop(volume, None)
        self._last_line.look()
        self._ask({"do": "disarm", "volume": volume, "token": None})

    def has_stopped(self, lease: Lease) -> bool:
        """Say whether the volume was stopped under exactly this token, by the guard or by us."""
        with suppress(Unavailable):
            self._ask({"do": "look"})
        return (lease.volume, lease.token) in self._stopped | self._last_line.stopped

    def lost(self) -> None:
        """Have everything stopped at once, for the session is lost."""
        if self._level is Level.NONE:
            self._last_line.stop_all()
        try:
            self._ask({"do": "stop"})
        except VolplugError as error:
            self._last_line.stop_all()
            _log.critical("the guard could not be told to stop everything: %s", error)

    def close(self) -> None:
        """Part from the guard; one that we started ends, once nothing is armed."""
        self._closed.set()
        self._last_line.close()
        with suppress(VolplugError, OSError), self._mutex:
            if self._connection is not None:
                self._exchange({"do": "end"})
                self._hang_up()

    def _arm(self, lease: Lease, *, staged: bool) -> None:
        """Arm, or have it done as soon as there is a guard; raise Unavailable if neither will do.

        While one of ours is not armed, no level is told.
        """
        self._mine[lease.volume] = lease.token, staged
        self._last_line.look()
        try:
            refused = self._ask(self._arming(lease.volume, lease.token))["refused"]
        except Unavailable as error:
            if self._claim.told is not Level.NONE:
                self._let_go(lease, staged=staged)
                raise
            _log.warning("volume=%s is not guarded yet: %s", lease.volume, error)
            return
        if refused:
            self._let_go(lease, staged=staged)
            raise Unavailable(f"{refused}; try again once the store answers")

    def _let_go(self, lease: Lease, *, staged: bool) -> None:
        """Forget what was not brought here for want of a guard; what is here has no level now."""
        if staged:
            self._have(Level.NONE)
        else:
            self._mine.pop(lease.volume, None)

    def _say_staged(self, lease: Lease) -> None:
        """Say that the way up is over; a guard that is away hears it when it is told of all."""
        self._mine[lease.volume] = lease.token, True
        with suppress(Unavailable):
            self._ask({"do": "staged", "volume": lease.volume, "token": lease.token})

    def _arming(self, volume: str, token: int) -> Words:
        times = {"freeze_s": self._times.freeze_s, "stop_s": self._times.stop_s}
        base = {"base_s": self._renewed_s()}
        return {"do": "arm", "volume": volume, "token": token, **base, **times}

    def _check(self, lease: Lease) -> None:
        """Raise Unavailable once nothing may be begun on the volume any more."""
        if not self._times.usable(self._renewed_s(), self._clock.now()):
            raise Unavailable(
                f"the lease of volume {lease.volume!r} could not be renewed in time, so nothing is "
                "done to it; try again once the store answers"
            )

    def _ask(self, words: Words, *, start: bool = True) -> Words:
        """Return the guard's answer, once it is there again if it was not; raise Unavailable."""
        if not self._mutex.acquire(timeout=START_S if start else PATIENCE_S):
            raise Unavailable("the guard has not answered for a while")
        try:
            for last in (False, True):
                try:
                    if self._connection is None:
                        self._reach(start=start)
                    return self._exchange(words)
                except (OSError, ValueError) as error:
                    self._hang_up()
                    if last or isinstance(error, TimeoutError):
                        raise Unavailable(f"the guard does not answer: {error}") from error
        finally:
            self._mutex.release()
        raise AssertionError("unreachable")

    def _reach(self, *, start: bool) -> None:
        """Connect, to one that is started if need be, and tell it all that another one knew."""
        self._connection = seek(self._directory, self._start if start else None)
        known = self._process
        self._exchange({"do": "look"})
        if self._process != known:
            base_s = self._renewed_s()
            self._tell_all()
            self._heard_s = base_s

    def _tell_all(self) -> None:
        """Arm anew what the guard of before watched, but for what we had to stop ourselves."""
        for volume, (token, staged) in list(self._mine.items()):
            if (volume, token) in self._last_line.stopped:
                continue
            refused = self._exchange(self._arming(volume, token))["refused"]
            if refused:
                _log.warning("volume=%s not armed again: %s", volume, refused)
            elif staged:
                self._exchange({"do": "staged", "volume": volume, "token": token})

    def _exchange(self, words: Words) -> Words:
        assert self._connection is not None
        wire.send(self._connection, words)
        answer = wire.receive(self._connection)
        if answer is None:
            raise ConnectionResetError("it has ended")
        self._process = answer["process"]
        armed = {(volume, token) for volume, token, _, _ in answer["armed"]}
        mine = {(volume, token) for volume, (token, _) in self._mine.copy().items()}
        self._have(min(Level(answer["level"]), self._most) if mine <= armed else Level.NONE)
        stopped = {
            (volume, token) for volume, token, state, _ in answer["armed"] if state == State.STOPPED
        }
        self._telling.stopped(stopped)
        self._stopped = stopped
        return answer

    def _hang_up(self) -> None:
        self._have(Level.NONE)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _have(self, level: Level) -> None:
        """Go by this level from now on."""
        if level is not self._level:
            self._level = level
            self._last_line.look()

    def _duty(self) -> Duty:
        """Return what is left to us: all of it while others count on a guard that is not there."""
        alone = self._level is Level.NONE and self._claim.told is not Level.NONE
        return Duty(self._mine.copy(), self._renewed_s(), self._heard_s, alone)

    def _watch(self) -> None:
        """Notice the guard's end at once, and see to it that there is one again."""
        again_s = _FIRST_AGAIN_S
        while not self._closed.is_set():
            try:
                self._ask({"do": "look"})
                again_s = _FIRST_AGAIN_S
                with wire.connect(self._directory, PATIENCE_S) as line:
                    line.settimeout(None)
                    wire.receive(line)  # nothing is ever said on this line
            except (VolplugError, OSError, ValueError) as error:
                _log.debug("guard: %s", error)
            if not self._closed.is_set():
                self._have(Level.NONE)
                self._closed.wait(again_s)
                again_s = min(2 * again_s, _LAST_AGAIN_S)
