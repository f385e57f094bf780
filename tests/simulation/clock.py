"""A machine's clocks: they run at a rate of their own, and stand still at times."""


class HostClock:
    """CLOCK_BOOTTIME and CLOCK_MONOTONIC of one boot, which differ by the time asleep.

    A hypervisor that stops its guest stops both, and no clock of the guest can tell (leases.md
    2.8); a machine that suspends itself stops only the second.
    """

    def __init__(self, rate: float, offset_s: float, now_s: float) -> None:
        self.rate = rate
        self._since_s = now_s
        self._boottime_s = self._monotonic_s = offset_s
        self._frozen = self._asleep = False

    def boottime_s(self, now_s: float) -> float:
        """Return CLOCK_BOOTTIME at a true time."""
        if self._frozen:
            return self._boottime_s
        return self._boottime_s + (now_s - self._since_s) * self.rate

    def monotonic_s(self, now_s: float) -> float:
        """Return CLOCK_MONOTONIC at a true time."""
        if self._frozen or self._asleep:
            return self._monotonic_s
        return self._monotonic_s + (now_s - self._since_s) * self.rate

    def freeze(self, now_s: float) -> None:
        """Stop all clocks, as a paused virtual machine's are."""
        self._note(now_s)
        self._frozen = True

    def sleep(self, now_s: float) -> None:
        """Stop only the monotonic clock, as in suspend."""
        self._note(now_s)
        self._asleep = True

    def wake(self, now_s: float) -> None:
        """Let all clocks run on."""
        self._note(now_s)
        self._frozen = self._asleep = False

    def _note(self, now_s: float) -> None:
        boottime_s, monotonic_s = self.boottime_s(now_s), self.monotonic_s(now_s)
        self._boottime_s, self._monotonic_s, self._since_s = boottime_s, monotonic_s, now_s
