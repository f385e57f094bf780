"""gunicorn's threaded worker, where one client or one signal could disturb all others.

Its main loop accepts every connection and ends every connection, so whatever makes it wait makes
all wait; and a thread that waits for a client's next byte waits for ever.
"""

import ctypes
import os
import signal
import socket
import struct
from contextlib import suppress
from types import FrameType

from gunicorn.arbiter import Arbiter
from gunicorn.http import Request
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import TConn, ThreadWorker

_LAST_ANSWERS_S = 5  # for the calls in flight after SIGTERM, of the eight that the master waits
_STALLED_S = 10  # for a client to go on sending its request, or reading its answer
_PR_SET_PDEATHSIG = 1


class ThreadedWorker(ThreadWorker):
    """A worker that no single client can hold up."""

    def init_signals(self) -> None:
        """Survive what the master ignores, too: a terminal hangs up on both."""
        super().init_signals()
        for number in (signal.SIGHUP, signal.SIGUSR2):
            signal.signal(number, _ignore)  # unlike SIG_IGN, not inherited by programs we start

    def handle(self, conn: TConn) -> bool:
        """Serve one connection, with a limit on each wait for its client.

        It is shut down here, because gunicorn would wait for the client to close it, for up to two
        seconds and in the thread that accepts all others.
        """
        limit = struct.pack("ll", _STALLED_S, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        again = super().handle(conn)
        if not again:
            with suppress(OSError):  # the client was quicker
                conn.sock.shutdown(socket.SHUT_RDWR)
        return again

    def handle_error(
        self,
        req: Request | None,  # noqa: ARG002  gunicorn's own signature
        client: socket.socket,
        addr: object,  # noqa: ARG002  gunicorn's own signature
        exc: BaseException,
    ) -> None:
        """Hang up on what is not HTTP: nothing can be said about a call that is not known."""
        self.log.warning("Connection broken: %s: %s", type(exc).__name__, exc)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _ignore(_: int, __: FrameType | None) -> None:
    """Take a signal and do nothing."""


def tie_to_master(_: Arbiter, worker: Worker) -> None:
    """Have the kernel kill this worker when its master is gone, however that came about."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != worker.ppid:
        os._exit(1)  # it went before we could ask
    worker.cfg.set("graceful_timeout", _LAST_ANSWERS_S)
