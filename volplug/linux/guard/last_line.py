"""The agent's fallback at work: a thread that waits for nothing but the next moment that counts.

Neither the requests of the web server nor the renewals run in it, and it never takes the lock that
is held while a guard is started. Another thread says what it did: a log's reader may be stuck.
"""

import os
import select
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

from volplug.guard import AGAIN_S, Armed, Clock, State, Times
from volplug.linux.guard.alarm import Alarm
from volplug.linux.guard.fallback import Duty, Fallback, Lease
from volplug.linux.guard.post import Post
from volplug.linux.guard.stopping import LinuxStopper, Place
from volplug.linux.guard.telling import Change, Telling


class LastLine:
    """What an agent does itself while nothing else stops its writers."""

    def __init__(
        self, post: Post, clock: Clock, times: Times, duty: Callable[[], Duty], telling: Telling
    ) -> None:
        """`duty` says what there is to see to; it is asked in a thread, and must not wait."""
        self._post = post
        self._clock = clock
        self._duty = duty
        self._telling = telling
        self._changes: SimpleQueue[Change | None] = SimpleQueue()
        self._fallback = Fallback(clock, times, self._stopper, self._note)
        self._alarm = Alarm()
        weakref.finalize(self, self._alarm.close)
        self._call = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._call)
        self._closed = False

    @property
    def stopped(self) -> frozenset[Lease]:
        """What it has stopped, for as long as that is the agent's."""
        return self._fallback.stopped

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._live, name="last line", daemon=True).start()
        threading.Thread(target=self._say, name="last words", daemon=True).start()

    def look(self) -> None:
        """Have it look at once, for something has changed. Never waits."""
        os.eventfd_write(self._call, 1)

    def stop_all(self) -> None:
        """Begin to stop everything now."""
        self._fallback.stop_all(self._duty())

    def close(self) -> None:
        """End soon. Repeating is success."""
        self._closed = True
        self._changes.put(None)
        self.look()

    def _live(self) -> None:
        poll = select.poll()
        poll.register(self._alarm.fd, select.POLLIN)
        poll.register(self._call, select.POLLIN)
        while not self._closed:
            self._alarm.set(self._attend())
            for fd, _ in poll.poll():
                if fd == self._call:
                    os.eventfd_read(fd)
                else:
                    self._alarm.heard()

    def _attend(self) -> float | None:
        try:
            return self._fallback.attend(self._duty())
        except Exception as error:  # noqa: BLE001  nobody else would do the rest
            self._changes.put(Change("", 0, State.ACTIVE, error))
            return self._clock.now() + AGAIN_S

    def _stopper(self, volume: str, token: int) -> LinuxStopper:
        return LinuxStopper(Place(volume, token, self._post))

    def _note(self, armed: Armed, trouble: Exception | None) -> None:
        self._changes.put(Change(armed.volume, armed.token, armed.state, trouble))

    def _say(self) -> None:
        while (change := self._changes.get()) is not None:
            self._telling.changed(change)
