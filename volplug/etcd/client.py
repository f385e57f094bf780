"""Transactions against whichever member answers, repeated until one does.

A request without an answer may have been applied, may still be applied, or may be lost; an error
is never a proof of "not applied" (leases.md 4.2). So every request sent here must be one that can
be applied once at most, however often it is repeated, and the same bytes are sent again to the
next member until there is an answer.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

from volplug.deadline import check, deadline, wait_until
from volplug.errors import AccessDenied, DeadlineExceeded, HostError, Unavailable
from volplug.etcd.access import Access
from volplug.etcd.connection import Connection, NewToken, TryAgain
from volplug.etcd.wire import Reply, Words, read_reply

T = TypeVar("T")

PATIENCE_S = 8.0
"""Longer than an election and two tries (5 s), shorter than a holder may go unrenewed (9 s)."""

AWAY_S = 1.0
"""How long a request is tried once nobody has answered for longer than our patience."""

_PAUSE_S = 0.05


class Client:
    """All members as one."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._preferred = 0
        self._token = ""
        self._cluster = ""
        self._highest = 0
        self._distrust = ""
        self._failing_since_s: float | None = None
        self._idle: deque[Connection] = deque()
        self._guard = threading.Lock()

    def txn(
        self,
        awaited: str,
        *,
        when: Sequence[Words] = (),
        then: Sequence[Words] = (),
        otherwise: Sequence[Words] = (),
    ) -> Reply:
        """Run a transaction; with nothing to write, it reads all ranges at one revision.

        Raises Unavailable when no member answered in time: then it may yet be applied. Raises
        HostError if the store went back in time, or is another one (leases.md I17).
        """
        if self._distrust:
            raise HostError(self._distrust)
        body = {"compare": list(when), "success": list(then), "failure": list(otherwise)}
        floor = self._highest
        reply = self._send(awaited, lambda connection: self._txn(connection, body))
        self._note(reply, floor)
        return reply

    def ask(self, awaited: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a member about itself, or for upkeep; raises as `txn` does."""
        return self._send(awaited, lambda connection: connection.post(path, body, self._token))

    def revision(self) -> int:
        """Return the highest revision that was seen."""
        return self._highest

    def cluster(self) -> str:
        """Return the identity of the cluster, empty before the first answer."""
        return self._cluster

    def close(self) -> None:
        """Hang up. What is under way goes on."""
        while self._idle:
            self._idle.pop().close()

    def _txn(self, connection: Connection, body: Mapping[str, Any]) -> Reply:
        answer = connection.post("kv/txn", body, self._token)
        try:
            return read_reply(answer)
        except (KeyError, ValueError, TypeError) as error:
            raise TryAgain(f"{connection.endpoint} does not answer as etcd does") from error

    def _send(self, awaited: str, call: Callable[[Connection], T]) -> T:
        check(awaited)
        answers: list[T] = []
        problem = ""

        def answered() -> bool:
            nonlocal problem
            try:
                answers.append(self._try(call))
            except TryAgain as error:
                problem = str(error)
                if self._failing_since_s is None:
                    self._failing_since_s = monotonic()
                return False
            self._failing_since_s = None
            return True

        try:
            with deadline(AWAY_S if self._is_away() else PATIENCE_S):
                wait_until(answered, awaited, poll_s=_PAUSE_S)
        except DeadlineExceeded:
            raise Unavailable(
                f"ran out of time waiting for {awaited}: no member of the store ({self._access}) "
                f"answered, the last one with: {problem}"
            ) from None
        return answers[0]

    def _is_away(self) -> bool:
        since_s = self._failing_since_s
        return since_s is not None and monotonic() - since_s > PATIENCE_S

    def _try(self, call: Callable[[Connection], T]) -> T:
        """Try one member; leave it for the next if it does not answer."""
        index = self._preferred
        connection = self._take(index)
        try:
            if self._access.user and not self._token:
                self._token = self._authenticate(connection)
            answer = call(connection)
        except NewToken as error:
            self._give_back(connection)
            if not self._access.user:
                raise AccessDenied(
                    f"etcd wants a user ({error}): set store.user and store.password"
                ) from error
            self._token = ""
            raise
        except BaseException:
            connection.close()
            if self._preferred == index:
                self._preferred = (index + 1) % len(self._access.endpoints)
            raise
        self._give_back(connection)
        return answer

    def _authenticate(self, connection: Connection) -> str:
        secret = self._access.password
        body = {"name": self._access.user, "password": secret.reveal() if secret else ""}
        return str(connection.post("auth/authenticate", body, "")["token"])

    def _take(self, index: int) -> Connection:
        endpoint = self._access.endpoints[index]
        with self._guard:
            for connection in list(self._idle):
                if connection.endpoint == endpoint:
                    self._idle.remove(connection)
                    return connection
        return Connection(self._access, endpoint)

    def _give_back(self, connection: Connection) -> None:
        with self._guard:
            self._idle.appendleft(connection)

    def _note(self, reply: Reply, floor: int) -> None:
        """Remember where the store stands; raise HostError, for ever, if that cannot be."""
        with self._guard:
            known = self._cluster
            self._cluster = known or reply.cluster
            self._highest = max(self._highest, reply.revision)
        if known and known != reply.cluster:
            self._distrust = (
                f"the members of the store ({self._access}) belong to two clusters, {known} and "
                f"{reply.cluster}: list the members of one cluster in store.endpoints"
            )
        elif reply.revision < floor:
            self._distrust = went_back(str(self._access), floor, reply.revision)
        if self._distrust:
            raise HostError(self._distrust)


def went_back(store: str, known: int, found: int) -> str:
    """Return the refusal of a store that has forgotten what it once answered."""
    return (
        f"the store ({store}) went back in time, from revision {known} to {found}: it was restored "
        "from a backup, and leases that it gave since may be in use; stop volplug on all nodes, "
        "then `volplug store declare-restored`"
    )
