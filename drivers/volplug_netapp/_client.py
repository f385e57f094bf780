"""Talking to ONTAP's REST API over the connection of NetApp's own library.

Of the library only `HostConnection` is used: its login, TLS and session. Its resource classes lose
the code of a failed job, poll every five seconds, sleep up to ten when an answer lacks a Location,
and refuse a newer release's words as errors of schema (backends-block 4): so jobs are polled here.

A call that timed out may have been carried out. Nothing is sent twice blindly: only reading is
repeated, and what ONTAP refused because it is too busy.
"""

import threading
import time
from typing import Any

import requests
from netapp_ontap.host_connection import HostConnection

from volplug.sdk import DeadlineExceeded, Unavailable, check, remaining, wait_until
from volplug_netapp._answer import Answer
from volplug_netapp._settings import NetappConfig

_CONNECT_S = 6.0
_ANSWER_S = 45.0
_POLL_S = 0.25
_READS = 3
_BUSY = (429, 503)
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0

Json = dict[str, Any]


class Ontap:
    """One SVM's REST API, for any number of threads; each has a connection of its own."""

    def __init__(self, config: NetappConfig) -> None:
        self._config = config
        self._mine = threading.local()
        self._pause = _Pause()
        self._name = f"ONTAP at {config.host}"

    def first(self, path: str, **query: str) -> Json | None:
        """Return the first record that matches, or None."""
        return next(iter(self.records(path, **query)), None)

    def records(self, path: str, **query: str) -> list[Json]:
        """Return all records that match, however many pages they are on."""
        found: list[Json] = []
        while path:
            body = self.call("GET", path, None, **query).or_raise(f"list {path}").body
            found += body.get("records", [])
            path = body.get("_links", {}).get("next", {}).get("href", "").removeprefix("/api")
            query = {}  # the link to the next page holds them
        return found

    def call(self, method: str, path: str, body: Json | None = None, **query: str) -> Answer:
        """Send one request and return how it ended, after the end of the job that it began.

        Raises Unavailable or DeadlineExceeded when that is not known.
        """
        answer = self._sent(method, path, body, query)
        job = answer.body.get("job", {}).get("uuid")
        return self._end(job, answer) if job and not answer.refused else answer

    def _sent(self, method: str, path: str, body: Json | None, query: dict[str, str]) -> Answer:
        """Send a request until it was taken or refused; a rotated password is read again once."""
        reads, logins = _READS, 2
        while True:
            self._pause.wait(self._name)
            try:
                answer = self._once(method, path, body, query)
            except Unavailable:
                reads -= 1
                if method != "GET" or not reads:
                    raise
                self._pause.longer(None)
                continue
            if answer.status in _BUSY:
                self._pause.longer(answer.body.get("retry_after"))
                continue
            self._pause.over()
            if answer.status == 401:
                self._mine.connection = None
                logins -= 1
                if logins:
                    continue
            if answer.status >= 500:
                reads -= 1
                if method != "GET" or not reads:
                    raise Unavailable(f"{self._name} failed: {answer.words}; try again later")
                continue
            return answer

    def _once(self, method: str, path: str, body: Json | None, query: dict[str, str]) -> Answer:
        check(self._name)
        left_s = max(remaining(), 0.001)  # nothing at all is no time limit but a ValueError
        limits_s = (min(_CONNECT_S, left_s), min(_ANSWER_S, left_s))
        try:
            connection = self._connection()
            response = connection.session.request(
                method,
                f"{connection.origin}/api{path}",
                json=body,
                params=query,
                timeout=limits_s,
                verify=connection.verify,  # or REQUESTS_CA_BUNDLE would take its place
                allow_redirects=False,
            )
            return _read(response)
        except requests.exceptions.SSLError as error:
            raise Unavailable(
                f"{self._name}: its certificate is not trusted ({_cause(error)}); name the one "
                "that signed it in ca_file"
            ) from error
        except requests.exceptions.RequestException as error:
            if remaining() <= 0:
                raise DeadlineExceeded(
                    f"ran out of time waiting for {self._name}; a retry continues"
                ) from error
            raise Unavailable(
                f"{self._name} does not answer ({_cause(error)}); check host, port and network"
            ) from error

    def _connection(self) -> HostConnection:
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            config = self._config
            connection = HostConnection(
                config.host,
                username=config.user,
                password=config.password.reveal(),
                port=config.port,
                verify=str(config.ca_file) if config.ca_file else True,
            )
            # The library would send a DELETE whose answer was lost five times more.
            connection.session.get_adapter(connection.origin).max_retries = 0
            self._mine.connection = connection
        return connection

    def _end(self, job: str, begun: Answer) -> Answer:
        """Wait for a job; one that ONTAP has forgotten is over, and its caller looks for itself."""
        ended: list[Answer] = []

        def over() -> bool:
            query = {"uuid": job, "fields": "state,message,code,error"}
            found = self.first("/cluster/jobs", **query) or {"state": "success"}
            error = found.get("error", {})
            if found["state"] == "success":
                ended.append(begun)
            elif found["state"] == "failure":
                code = error.get("code") or found.get("code") or ""
                words = error.get("message") or found.get("message") or ""
                ended.append(Answer(409, str(code), str(words)))
            return bool(ended)

        wait_until(over, f"job {job} of {self._name}", poll_s=_POLL_S)
        return ended[0]


class _Pause:
    """How long all threads leave a busy array alone: longer each time, until it takes a call."""

    def __init__(self) -> None:
        self._next_s = _PAUSE_S
        self._until = 0.0

    def longer(self, asked_s: float | None) -> None:
        self._until = time.monotonic() + (self._next_s if asked_s is None else asked_s)
        self._next_s = min(2 * self._next_s, _LONGEST_PAUSE_S)

    def over(self) -> None:
        self._next_s = _PAUSE_S

    def wait(self, awaited: str) -> None:
        wait_until(lambda: time.monotonic() >= self._until, f"{awaited}, which is busy", 0.05)


def _read(response: requests.Response) -> Answer:
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = {}
    error = body.get("error", {})
    words = error.get("message") or response.reason or ""
    if asked := response.headers.get("Retry-After", ""):
        body["retry_after"] = float(asked) if asked.isdigit() else None
    return Answer(response.status_code, str(error.get("code", "")), str(words), body)


def _cause(error: Exception) -> str:
    """Return the innermost reason, for the outer ones repeat it with our URL."""
    reason: Any = error
    while getattr(reason, "args", ()) and isinstance(reason.args[-1], Exception):
        reason = reason.args[-1]
    return str(getattr(reason, "reason", reason)).split("object at")[-1].split(">: ")[-1][:200]
