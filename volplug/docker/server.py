"""gunicorn, embedded: a master that keeps the socket, and one worker that does everything.

The worker is the agent: controller, keeper and store live in it, in one process, with many threads.
The master only holds the listening socket and starts a new worker when the old one dies, so that
clients wait in the backlog meanwhile; a connection that is broken after its request was sent comes
back from the engine without its body (docker-contract 1.5). The worker dies with its master.

Most of what gunicorn can do is switched off here, because each would break one of those sentences:
a second worker, a reload, a control socket in the home directory, HTML error pages, keep-alive.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from volplug.docker.listener import Listener, listen
from volplug.docker.log import log_to_stdout
from volplug.docker.worker import ThreadedWorker, tie_to_master
from volplug.errors import VolplugError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from gunicorn._types import _WSGIAppType

_log = logging.getLogger(__name__)

THREADS = 128
_STOP_S = 8  # the engine kills a plugin ten seconds after SIGTERM
_FROZEN_S = 180  # a worker whose main loop stood still for longer than any call is replaced


def _nothing() -> None:
    """Do nothing."""


def serve(
    app_factory: "Callable[[], WSGIApplication]",
    *,
    socket_path: Path,
    socket_mode: int = 0o600,
    threads: int = THREADS,
    ready: Callable[[], None] = _nothing,
    closing: Callable[[], None] = _nothing,
) -> None:
    """Serve on a unix socket until SIGTERM or SIGINT.

    Listens on sockets inherited from systemd if there are any, else on `socket_path`. Then `ready`
    is called, in the master; `app_factory` is called in the worker, in every new one. `closing` is
    called in a worker that ends in good order, after its last answer. At most ten seconds after
    the signal all is over, hung calls included.

    Raises InvalidOptions or HostError if it cannot listen, and SystemExit if `app_factory` failed,
    whose sentence the log has by then.
    """
    log_to_stdout()
    os.environ.pop("SCRIPT_NAME", None)  # gunicorn would look for it in front of every path
    inherited = os.environ.get("LISTEN_PID") == str(os.getpid())
    listener = None if inherited else listen(socket_path, socket_mode)
    master = os.getpid()
    try:
        _Master(_Server(app_factory, listener, threads, ready, closing), listener).run()
    except SystemExit as end:
        if os.getpid() != master:
            logging.shutdown()
            os._exit(_exit_status(end))  # past hung threads, and past the master's own frames
        if end.code:
            raise SystemExit(1) from end


def _exit_status(end: SystemExit) -> int:
    """Return the status of a worker that ends; the master tells failed starts by it."""
    return end.code if isinstance(end.code, int) else bool(end.code)


class _Server(BaseApplication):
    """What gunicorn is told: its settings, and how to build the application."""

    def __init__(
        self,
        app_factory: "Callable[[], WSGIApplication]",
        listener: Listener | None,
        threads: int,
        ready: Callable[[], None],
        closing: Callable[[], None],
    ) -> None:
        self._app_factory = app_factory
        self._settings: dict[str, object] = {
            "workers": 1,
            "worker_class": ThreadedWorker,
            "threads": threads,
            "worker_connections": 512,  # with the store's files, below the usual limit of 1024
            "keepalive": 0,
            "timeout": _FROZEN_S,
            "graceful_timeout": _STOP_S,
            "logger_class": _Log,
            "errorlog": None,
            "control_socket_disable": True,
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108  gunicorn unlinks its file at once
            "when_ready": lambda _: ready(),
            "post_fork": tie_to_master,
            "worker_exit": lambda _, worker: _close(worker, closing),
        }
        if listener is not None:
            self._settings["bind"] = f"fd://{listener.fd}"
        super().__init__()

    def load_config(self) -> None:
        """Set what this gunicorn knows of our settings; older ones lack the control socket."""
        for name, value in self._settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> "_WSGIAppType":
        """Build the application, in the worker."""
        try:
            return cast("_WSGIAppType", self._app_factory())
        except VolplugError as error:
            _log.critical("%s", error)
        except Exception:  # noqa: BLE001  the process ends on it, with its traceback in the log
            _log.critical("the server could not start", exc_info=True)
        raise SystemExit(Arbiter.APP_LOAD_ERROR)  # tells the master not to try again


class _Master(Arbiter):
    """A master that keeps exactly one worker."""

    def __init__(self, app: _Server, listener: Listener | None) -> None:
        super().__init__(app)
        self._listener = listener

    def stop(self, graceful: bool = True) -> None:
        """Take the socket away first: a refused connection is repeated whole, a broken one not."""
        if self._listener is not None:
            self._listener.unlink()
        self.systemd = True  # so that gunicorn leaves the file alone
        super().stop(graceful)

    def _stay(self) -> None:
        """Ignore a signal that asks for a second worker or master: the store has one owner."""
        _log.warning("Signal ignored; stop with SIGTERM and start again instead")

    handle_hup = handle_ttin = handle_ttou = handle_usr2 = handle_winch = _stay


class _Log(Logger):
    """A gunicorn that logs to where all of the process does."""

    def setup(self, cfg: Config) -> None:
        """Hand every record on to the root logger."""
        super().setup(cfg)
        self.error_log.propagate = True


def _close(worker: Worker, closing: Callable[[], None]) -> None:
    """Tidy up in a worker that had started; the master calls this hook, too, for one that died."""
    if worker.booted and os.getppid() == worker.ppid:
        closing()
