"""The hardware watchdog: it resets a machine on which not even the guard can run any more.

The kernel counts down from each write to the device; the letter V before closing it disarms it,
where the driver allows that. It must be nobody else's: systemd opens it too if it is told to.
"""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

PERIOD_S = 1.0

_SETTIMEOUT = 0xC0045706  # WDIOC_SETTIMEOUT, linux/watchdog.h


class Watchdog:
    """An opened watchdog device, which resets the machine `limit_s` after its last pet."""

    def __init__(self, path: Path, limit_s: int) -> None:
        """Open it, which starts its countdown; raise OSError if it is missing or in use."""
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK
        self._file = os.open(path, flags)
        self.limit_s = limit_s
        with suppress(OSError):  # a device of fixed time, or a stand-in
            answer = fcntl.ioctl(self._file, _SETTIMEOUT, struct.pack("i", limit_s))
            self.limit_s = struct.unpack("i", answer)[0]

    def pet(self) -> None:
        """Start the countdown anew; raise OSError."""
        os.write(self._file, b"\0")

    def close(self) -> None:
        """Leave it in peace, if its driver lets us."""
        with suppress(OSError):
            os.write(self._file, b"V")
        os.close(self._file)
