"""One connection to one member, through etcd3gw, which is used for its transport alone.

Left to itself etcd3gw waits for ever on a member that was stopped, and takes any proxy that the
environment names (leases.md 2.14).
"""

import json
from collections.abc import Mapping
from typing import Any

import requests
from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import Etcd3Exception

from volplug.errors import AccessDenied, Exhausted, HostError, Unavailable, VolplugError
from volplug.etcd.access import Access, Endpoint

TRY_S = 1.0
"""How long one try may take; a stuck member must be left while the session is still good."""

_INVALID_ARGUMENT, _PERMISSION_DENIED, _OUT_OF_RANGE, _UNAUTHENTICATED = 3, 7, 11, 16  # gRPC's
_STALE_TOKEN = ("invalid auth token", "user name is empty", "revision in header is old")


class TryAgain(Exception):
    """No answer, or none that says what became of the request: another member may know."""


class NewToken(TryAgain):
    """The member does not know our token any more."""


class Connection:
    """Speaks to one member; for one thread at a time."""

    def __init__(self, access: Access, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._session = requests.Session()
        self._session.trust_env = False
        if access.ca:
            self._session.verify = str(access.ca)
        if access.cert and access.key:
            self._session.cert = (str(access.cert), str(access.key))
        self._client = Etcd3Client(
            endpoint.host,
            endpoint.port,
            endpoint.scheme,
            timeout=TRY_S,
            api_path="/v3/",
            session=self._session,
        )

    def post(self, path: str, body: Mapping[str, Any], token: str) -> dict[str, Any]:
        """Send a request, return its answer; raise TryAgain, or what a repetition cannot mend."""
        if token:
            self._session.headers["Authorization"] = token
        try:
            answer: dict[str, Any] = self._client.post(
                self._client.get_url(path), data=json.dumps(body)
            )
        except Etcd3Exception as error:
            raise _refusal(error, self.endpoint) from error
        except (requests.RequestException, ValueError) as error:
            raise TryAgain(f"{self.endpoint}: {error}") from error
        except OSError as error:  # a certificate file that is not there
            raise Unavailable(f"cannot speak to etcd at {self.endpoint}: {error}") from error
        return answer

    def close(self) -> None:
        """Hang up."""
        self._session.close()


def _refusal(error: Etcd3Exception, endpoint: Endpoint) -> TryAgain | VolplugError:
    """Tell what etcd has refused for good from what may go well at the next try."""
    code, words = _code_and_words(error.detail_text or str(error))
    if code == _UNAUTHENTICATED or any(each in words for each in _STALE_TOKEN):
        return NewToken(f"{endpoint}: {words}")
    if code == _PERMISSION_DENIED or "authentication failed" in words:
        return AccessDenied(
            f"etcd at {endpoint} refused us ({words}): check store.user, store.password and the "
            "user's rights on store.prefix"
        )
    if "authentication is not enabled" in words:
        return AccessDenied(
            "store.user is set, but etcd's authentication is not enabled: remove the user, or run "
            "`etcdctl auth enable`"
        )
    if "space exceeded" in words:
        return Exhausted(
            f"etcd at {endpoint} has no space left ({words}): compact and defragment it, then "
            "`etcdctl alarm disarm`"
        )
    if code in (_INVALID_ARGUMENT, _OUT_OF_RANGE):
        return HostError(f"etcd at {endpoint} does not take the request: {words}")
    return TryAgain(f"{endpoint}: {words}")


def _code_and_words(text: str) -> tuple[int, str]:
    try:
        found = json.loads(text)
        return int(found["code"]), str(found["error"])
    except (ValueError, KeyError, TypeError):
        return 0, text
