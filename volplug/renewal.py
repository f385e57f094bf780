"""Keeps the node's session alive, in a thread that does nothing else, and ends the node without it.

A renewal that waits behind a slow `umount` is a lease that lapses. And a process whose session is
another's has nothing to say about any volume any more: to go on answering Mounts would be to serve
what may be somebody else's by now.
"""

import logging
import os
import threading
from collections.abc import Callable
from time import monotonic

from volplug.errors import HostError, VolplugError
from volplug.event import Event
from volplug.guarding import Guarding, Unguarded
from volplug.journal import Journal
from volplug.lease import LeaseTable
from volplug.session import HOLD_MS, RENEW_S

_log = logging.getLogger(__name__)


def end_process() -> None:
    """End this process at once; its parent starts it anew, and it registers a new session."""
    logging.shutdown()
    os._exit(1)


class Renewal:
    """The renewals of one node."""

    def __init__(
        self,
        leases: LeaseTable,
        lost: Callable[[], None] = end_process,
        *,
        guard: Guarding | None = None,
        period_s: float = RENEW_S,
        hold_s: float = HOLD_MS / 1000,
        now_s: Callable[[], float] = monotonic,
        journal: Journal | None = None,
    ) -> None:
        """`lost` is called once, when the session is lost for good, after the guard heard of it.

        `hold_s` is for how long without a renewal others must take this node for a living one.
        """
        self._leases = leases
        self._guard: Guarding = guard or Unguarded()
        self._lost = lost
        self._journal = journal or Journal()
        self._period_s = period_s
        self._hold_s = hold_s
        self._now_s = now_s
        self._renewed_s = now_s()
        self._late = False
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin; the first renewal happens at once."""
        threading.Thread(target=self._live, name="renewal", daemon=True).start()

    def stop(self) -> None:
        """End soon. Repeating is success."""
        self._stop.set()

    def renew(self) -> bool:
        """Renew once, and say whether to go on; what passes by itself is logged."""
        began_s = self._now_s()
        try:
            self._leases.renew(guard_level=self._guard.level())
        except HostError as error:
            _log.critical("%s; no volume is served as this node's any more", error)
            self._guard.lost()
            self._journal.note(Event.SESSION_LOST, reason=str(error))
            self._lost()
            return False
        except VolplugError as error:
            self._tell_failure(error)
        except Exception:  # noqa: BLE001  a bug must not end the renewals
            _log.exception("renewal")
        else:
            self._guard.renewed()
            self._renewed_s = began_s
            self._late = False
        return True

    def _tell_failure(self, error: VolplugError) -> None:
        _log.warning("not renewed: %s", error)
        silent_s = self._now_s() - self._renewed_s
        if silent_s >= self._hold_s and not self._late:
            self._late = True
            _log.error(
                "no renewal for %.0f s: other nodes see this one's leases as lapsed, and their"
                " operators may take them away",
                silent_s,
            )

    def _live(self) -> None:
        while self.renew() and not self._stop.wait(self._period_s):
            pass
