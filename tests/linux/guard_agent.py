"""An agent's side of a guard, to try on this machine: its client, without a store."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime

from tests.linux.guarded import HEALED_S, boottime_s
from volplug.command import run
from volplug.deadline import deadline, wait_until
from volplug.errors import Unavailable
from volplug.guard import Level, Times
from volplug.journal import Journal
from volplug.lease import Lease
from volplug.linux.guard import GuardClient, Post
from volplug.session import BoottimeClock
from volplug.volume import AccessMode

LEASE = Lease("data", "n1", AccessMode.SINGLE_WRITER, 7, datetime(2026, 1, 2, tzinfo=UTC))
TIMES = Times(HEALED_S / 2, HEALED_S)


class Agent:
    """An agent's side: a client whose last renewal the test says."""

    def __init__(self, post: Post, *, times: Times = TIMES) -> None:
        self.post = post
        self.base_s = boottime_s()
        self.startable = True
        self.start: Callable[[], None] = self._run
        self.journal = Journal(post.directory / "journal", node="n1", boot_id="boot-1")
        self.client = GuardClient(
            post=post,
            times=times,
            renewed_s=lambda: self.base_s,
            clock=BoottimeClock(),
            start=self._start,
            journal=self.journal,
        )

    def _start(self) -> None:
        if not self.startable:
            raise Unavailable("no guard can be started")
        self.start()

    def _run(self) -> None:
        run([sys.executable, "-m", "volplug.linux.guard", *self.post.words])

    def arm(self) -> None:
        """Bring the volume here, which takes no time."""
        with self.client.armed(LEASE):
            pass

    def level(self) -> Level:
        """Return the level that would be told."""
        return self.client.level()

    def wait(self, level: Level) -> None:
        """Wait for a level."""
        with deadline(30.0):
            wait_until(lambda: self.level() is level, f"level {level}", poll_s=0.005)

    def renew(self) -> Level:
        """Have a renewal acknowledged that was sent now, and return the level that it told."""
        sent_s = boottime_s()
        level = self.client.level()
        self.base_s = sent_s
        self.client.renewed()
        return level
