"""Talking to EC2: retries, lost answers, expired keys, and nobody waiting past the deadline.

boto3's own retries are switched off: they know neither our deadline nor the other threads' pauses,
and they resend what must not be resent. After a change whose answer was lost nobody knows whether
it happened, so `change` raises Lost and `settle` looks again (backends-block 1.3). Its waiters are
not used either: `volume_in_use` is content with a volume that is still `attaching`.
"""

from collections.abc import Callable, Collection
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from volplug.sdk import (
    AccessDenied,
    DeadlineExceeded,
    InvalidOptions,
    Unavailable,
    check,
    deadline,
    wait_until,
)
from volplug_ebs._backoff import Backoff
from volplug_ebs._clients import Clients
from volplug_ebs._machine import Machine
from volplug_ebs._refusals import EXPIRED, THROTTLED, Refused, explain
from volplug_ebs._settings import EbsConfig

_LOSSES = 5
_LONGEST_S = 600.0
"""No verb goes on for longer than that, even if nobody set a deadline."""


class Lost(Exception):
    """The answer was lost: the change may or may not have happened."""


class Ec2:
    """EC2's API in one region, for any number of threads."""

    def __init__(self, config: EbsConfig, machine: Machine) -> None:
        self._poll_s = config.poll_s
        self._backoff = Backoff()
        self._clients = Clients(config, machine)

    def read(
        self, operation: str, *, expect: Collection[str] = (), **parameters: Any
    ) -> dict[str, Any]:
        """Ask a question, again if need be; raise Refused for the codes in `expect`."""
        for _ in range(_LOSSES):
            try:
                return self.change(operation, expect=expect, **parameters)
            except Lost as error:
                last = error
        raise Unavailable(f"{last}; is the network up, and the region right?") from last

    def pages(self, operation: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        """Ask a question whose answer comes in pages, and return all items."""
        items: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            answer = self.read(operation, **parameters, **more)
            items += answer[key]
            if not answer.get("NextToken"):
                return items
            more = {"NextToken": answer["NextToken"]}

    def change(
        self, operation: str, *, expect: Collection[str] = (), **parameters: Any
    ) -> dict[str, Any]:
        """Give an order; raise Lost if its answer was lost, Refused for the codes in `expect`.

        What EC2 did not do because of its request limits or of expired keys is sent again.
        """
        renewed = False
        with deadline(_LONGEST_S):
            while True:
                self._backoff.wait()
                check("EC2")
                try:
                    answer = self._send(operation, parameters)
                except ClientError as error:
                    code = str(error.response.get("Error", {}).get("Code", "unknown"))
                    if code in EXPIRED and not renewed:
                        renewed = True
                        self._clients.forget_keys()
                    elif code in THROTTLED:
                        self._backoff.slower()
                    else:
                        raise self._failure(operation, code, error, expect) from error
                else:
                    self._backoff.faster()
                    return answer

    def settle(self, awaited: str, step: Callable[[], bool]) -> None:
        """Repeat a step that looks, and orders what is missing, until it returns true.

        Raises Unavailable after several lost answers in a row.
        """
        losses = 0

        def once() -> bool:
            nonlocal losses
            try:
                done = step()
            except Lost as error:
                losses += 1
                if losses >= _LOSSES:
                    raise Unavailable(f"{error}; a retry continues") from error
                return False
            except DeadlineExceeded as error:
                raise DeadlineExceeded(f"waited for {awaited}, but {error}") from error
            losses = 0
            return done

        with deadline(_LONGEST_S):
            wait_until(once, awaited, poll_s=self._poll_s)

    def _send(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._clients.current(), operation)(**parameters)
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise AccessDenied(
                f"there are no whole keys for EC2: {error}; set access_key and secret_key, or give"
                " the instance a role"
            ) from error
        except ParamValidationError as error:
            raise InvalidOptions(f"EC2 cannot be asked that: {error}") from error
        except (HTTPClientError, BotoCoreError) as error:
            self._backoff.slower()
            raise Lost(f"EC2 did not answer {operation.replace('_', ' ')}: {error}") from error
        return answer

    def _failure(
        self, operation: str, code: str, error: ClientError, expect: Collection[str]
    ) -> Exception:
        message = str(error.response.get("Error", {}).get("Message", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in expect:
            self._backoff.faster()
            return Refused(code, message)
        if status >= 500:
            self._backoff.slower()
            return Lost(f"EC2 failed to {operation.replace('_', ' ')}: {message} ({code})")
        self._backoff.faster()
        return explain(operation, code, message)
