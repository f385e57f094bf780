"""One pause for everybody, because EC2 counts everybody's requests together.

EC2's request limits are per account and region, and one bucket serves all mutating calls
(backends-block 2): threads that back off each on their own keep the bucket empty for each other.
"""

import random
import threading
import time

from volplug.sdk import wait_until

_FIRST_S = 0.2
_LONGEST_S = 20.0


class Backoff:
    """A pause shared by all threads: doubled when EC2 complains, halved when it answers."""

    def __init__(self, first_s: float = _FIRST_S) -> None:
        self._first_s = first_s
        self._guard = threading.Lock()
        self._pause_s = 0.0
        self._until_s = 0.0

    def wait(self) -> None:
        """Return when the next request may be sent; raise DeadlineExceeded if that is too late."""
        wait_until(
            lambda: time.monotonic() >= self._until_s,
            "EC2, which limits or fails our requests at the moment",
            poll_s=0.05,
        )

    def slower(self) -> None:
        """Let everybody pause, longer than the last time.

        Complaints about requests that were under way together count once.
        """
        with self._guard:
            now_s = time.monotonic()
            if now_s < self._until_s:
                return
            self._pause_s = min(max(2 * self._pause_s, self._first_s), _LONGEST_S)
            jitter = random.uniform(0.5, 1.0)  # noqa: S311  it spreads nodes out, it hides nothing
            self._until_s = now_s + self._pause_s * jitter

    def faster(self) -> None:
        """Remember that EC2 answered."""
        with self._guard:
            self._pause_s = self._pause_s / 2 if self._pause_s > self._first_s else 0.0
