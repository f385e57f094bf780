"""A clock that tests turn by hand, so that nothing has to sleep."""

import threading
from datetime import UTC, datetime, timedelta

_START = datetime(2024, 1, 1, tzinfo=UTC)


class FakeClock:
    """A deadline.Clock on which time passes only when told; safe to share between threads."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._guard = threading.Lock()

    def now(self) -> float:
        """Return the seconds that were let pass."""
        with self._guard:
            return self._now_s

    def sleep(self, seconds: float) -> None:
        """Let seconds pass at once."""
        if seconds < 0:
            raise ValueError(f"time does not go back, not even by {-seconds} s")
        with self._guard:
            self._now_s += seconds

    def utc(self) -> datetime:
        """Return the wall-clock time that goes with `now`."""
        return _START + timedelta(seconds=self.now())
