"""One session with a vCenter, made again when it ends, and one pace for all who share it.

vCenter forgets a session after 30 idle minutes and then answers NotAuthenticated to everything;
and a lost answer leaves open whether the work was done. Each verb of the driver therefore begins by
looking, and trouble on the way is met by running the whole verb again.
"""

import http.client
import random
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from volplug.sdk import (
    DeadlineExceeded,
    InvalidOptions,
    VolplugError,
    check,
    deadline,
    remaining,
    wait_until,
)
from volplug_vsphere import _faults
from volplug_vsphere._settings import VsphereConfig
from volplug_vsphere._vim import negotiated, stub_adapter, vim

T = TypeVar("T")

_TRIES = 6
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_LONGEST_CALL_S = 60.0


class Session:
    """A vCenter that verbs are run at."""

    def __init__(self, config: VsphereConfig) -> None:
        self._config = config
        self._login = threading.Lock()
        self._content: Any = None
        self._failures = 0  # in a row, of anybody: whoever meets trouble slows down everybody

    def steadily(self, verb: Callable[[Any], T]) -> T:
        """Run a verb with the vCenter's service content, again from its start after trouble.

        Raises the SDK's error for whatever vCenter says, and Unavailable after some tries.
        """
        for left in reversed(range(_TRIES)):
            content = None
            try:
                check(self._config.server)
                content = self._opened()
                result = verb(content)
            except VolplugError:
                raise
            except Exception as error:
                check(f"an answer of {self._config.server}")
                if isinstance(error, vim.fault.NotAuthenticated):
                    self._forget(content)
                if left == 0 or not _faults.passes(error):
                    raise self._refusal(error) from error
                self._pause()
            else:
                self._failures = 0
                return result
        raise AssertionError("the last try returns or raises")

    def _refusal(self, error: Exception) -> VolplugError:
        return _faults.refusal(error, self._config.server, self._config.user)

    def _pause(self) -> None:
        self._failures += 1
        most = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 10))
        pause = most * random.uniform(0.5, 1.0)  # noqa: S311  only so that nodes do not march in step
        with suppress(DeadlineExceeded), deadline(pause):
            wait_until(lambda: False, "vCenter's breath", poll_s=pause)

    def _opened(self) -> Any:
        with self._turn():
            if self._content is None:
                self._content = self._log_in()
            return self._content

    def _forget(self, content: Any) -> None:
        """Let the next one log in, unless somebody has done so meanwhile."""
        with self._turn():
            if self._content is content:
                self._content = None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one at a time log in, and nobody wait for that past a deadline of their own."""
        if not self._login.acquire(timeout=_call_s()):
            raise TimeoutError("others wait for it, too")
        try:
            yield
        finally:
            self._login.release()

    def _log_in(self) -> Any:
        host, port = _address(self._config.server)
        trust = ssl.create_default_context(cafile=self._config.ca_file)
        # A connection of its own, to ask which versions of the API both sides speak.
        version = negotiated(host, port, sslContext=trust, httpConnectionTimeout=_call_s()).version
        stub = stub_adapter(host, port, version=version, sslContext=trust)
        _hurry(stub)
        weakref.finalize(self, stub.DropConnections)
        content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
        content.sessionManager.Login(self._config.user, self._config.password.reveal())
        return content


def _hurry(stub: Any) -> None:
    """Let every call of a connection pool end with the deadline of its caller."""
    pooled = stub.GetConnection

    def connection() -> Any:
        found = pooled()
        if found.sock is not None:
            found.sock.settimeout(_call_s())
        return found

    stub.scheme, stub.GetConnection = _connection, connection


def _connection(**arguments: Any) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(timeout=_call_s(), **arguments)


def _call_s() -> float:
    return max(0.05, min(remaining(), _LONGEST_CALL_S))


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.partition(":")
    if not host or (port and not port.isdecimal()):
        raise InvalidOptions(f"server={server!r} is no host name with an optional :port")
    return host, int(port or 443)
