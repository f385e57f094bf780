"""The guard's blows, each in a child of its own: one that hangs in the kernel holds up nobody.

A freeze waits until the file system has written out what it has, for minutes perhaps, and the stop
has to come meanwhile; and one sick disk must not make the guard late for another. A child has the
guard's memory at the moment of the fork, and none of its descriptors: it must hold neither its lock
nor its connections once the guard is gone.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

THAW = b"t"
AT_ONCE = b"a"
"""To thaw whatever others are at: what was stopped cannot be written any more."""

FAILED = 1
"""How a child ends that could not do what it was begun for."""


class Child:
    """A child that does one thing, and may be told one more byte while it lives."""

    def __init__(self, work: Callable[[int], int]) -> None:
        """Begin; `work` gets a descriptor to be told by, and returns how to end. Raises OSError."""
        told, tell = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(tell, False)
        try:
            self._process = os.fork()
        except OSError:
            os.close(told)
            os.close(tell)
            raise
        if self._process == 0:
            _be_a_child(work, told)
        os.close(told)
        self._tell = tell
        self._code: int | None = None

    def tell(self, word: bytes) -> None:
        """Tell it something; one that has ended does not mind."""
        if self._tell >= 0:
            with suppress(OSError):
                os.write(self._tell, word)

    def code(self) -> int | None:
        """Return how it ended; None while it runs. Never waits."""
        if self._code is None:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._code = os.waitstatus_to_exitcode(status)
                os.close(self._tell)
                self._tell = -1
        return self._code


def _be_a_child(work: Callable[[int], int], told: int) -> None:
    """Do the work and end, whatever happens, without the guard's own way out."""
    code = FAILED
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a guard that ends leaves its work done
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  names are numbers here
            if int(name) > 2 and int(name) != told:
                with suppress(OSError):
                    os.close(int(name))
        code = work(told)
    except Exception as error:  # noqa: BLE001  there is nobody to raise it to
        with suppress(OSError):  # past Python's own stream, which another thread may have locked
            os.write(2, f"volplug guard: {error}\n".encode())
    finally:
        os._exit(code)
