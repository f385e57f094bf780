"""The unix socket that the engine finds us by, bound before anything else is even imported.

The engine gives a plugin about nine seconds to listen, and for good disables one that does not
(docker-contract 5.2); a connection that waits in the backlog costs nothing. A socket file outlives
the process that bound it, so one that nobody listens on is replaced, and one that somebody does
listen on is not.
"""

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from volplug.deadline import deadline, wait_until
from volplug.errors import DeadlineExceeded, HostError, InvalidOptions

PATH_MAX_BYTES = 107
BACKLOG = 1024  # a full one refuses connections at once; the kernel cuts it to net.core.somaxconn
_PREDECESSOR_S = 3.0  # for a killed server to be gone: its death takes the kernel a moment


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket and the file that leads to it."""

    fd: int
    path: Path
    inode: int

    def unlink(self) -> None:
        """Remove the file, unless it is gone or leads to a successor by now."""
        try:
            if self.path.stat().st_ino == self.inode:
                self.path.unlink()
        except FileNotFoundError:
            pass


def listen(path: Path, mode: int = 0o600) -> Listener:
    """Listen on a unix socket at `path`, which only its owner may open unless `mode` says more.

    Raises InvalidOptions if the path cannot be one, HostError if another server listens on it.
    """
    length = len(os.fsencode(path))
    if length > PATH_MAX_BYTES:
        raise InvalidOptions(
            f"the socket path {str(path)!r} has {length} bytes and the kernel allows "
            f"{PATH_MAX_BYTES}; choose a shorter directory or name"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_way(path)
        return _bind(path, mode)
    except OSError as error:
        raise HostError(f"cannot listen on {str(path)!r}: {error.strerror or error}") from error


def _bind(path: Path, mode: int) -> Listener:
    """Bind and listen; no one can connect before the mode is right."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~mode)
    try:
        server.bind(str(path))
    finally:
        os.umask(umask)
    server.listen(BACKLOG)
    return Listener(server.detach(), path, path.stat().st_ino)


def _make_way(path: Path) -> None:
    """Remove a socket that nobody listens on; raise HostError if somebody does."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise InvalidOptions(
            f"{str(path)!r} exists and is not a socket; remove it or choose another"
        )
    try:
        with deadline(_PREDECESSOR_S):
            wait_until(lambda: not _answers(path), "another server to end")
    except DeadlineExceeded:
        raise HostError(
            f"another server is listening on {str(path)!r}; stop it, or choose another socket"
        ) from None
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    """Say whether anybody listens; a full backlog, too, is somebody's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True
        return True
