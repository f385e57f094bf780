"""Whether the cluster's store is well, member by member: for the doctor, who changes nothing.

One member that is down costs nothing but the next failure, and so it is found by nobody until the
second one goes as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from volplug.deadline import deadline
from volplug.errors import VolplugError
from volplug.etcd import upkeep
from volplug.etcd.access import Access, Endpoint
from volplug.etcd.client import Client
from volplug.etcd.keys import Keys
from volplug.etcd.wire import get

_MEMBER_S = 1.5
_MAJORITY_S = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what is wrong with it, and whether the store does without it."""

    what: str
    problem: str = ""
    optional: bool = False


def check(access: Access, *, prefix: str) -> list[Check]:
    """Look at each member, then at what they are together; a dead one costs 1.5 seconds."""
    checks, answering = [], []
    for endpoint in access.endpoints:
        status, problem = _status(access, endpoint)
        checks.append(Check(f"etcd at {endpoint}", problem))
        if status:
            answering.append((endpoint, status))
    minority = _majority(access, prefix)
    checks.append(Check("majority of etcd's members", minority))
    for endpoint, status in answering:
        checks += _health(endpoint, status)
    if not minority:
        checks.append(Check("etcd without alarms", _alarms(access)))
    return checks


def _status(access: Access, endpoint: Endpoint) -> tuple[dict[str, Any], str]:
    """Return what a member says of itself, or why it does not."""
    client = Client(replace(access, endpoints=(endpoint,)))
    try:
        with deadline(_MEMBER_S):
            return client.ask("etcd's status", "maintenance/status", {}), ""
    except VolplugError as error:
        return {}, str(error)
    finally:
        client.close()


def _majority(access: Access, prefix: str) -> str:
    """Say why a read that a majority has to agree to does not succeed; or nothing."""
    client = Client(access)
    try:
        with deadline(_MAJORITY_S):
            client.txn("a majority", then=[get(Keys(prefix.rstrip("/")).meta)])
    except VolplugError as error:
        return f"bring back more than half of the members: {error}"
    finally:
        client.close()
    return ""


def _alarms(access: Access) -> str:
    client = Client(access)
    try:
        with deadline(_MAJORITY_S):
            return "; ".join(upkeep.alarms(client))
    except VolplugError as error:
        return str(error)
    finally:
        client.close()


def _health(endpoint: Endpoint, status: dict[str, Any]) -> Iterator[Check]:
    """Tell of a member's version and of its size, where an operator should see to it."""
    old = upkeep.old_version(status)
    yield Check(f"version of etcd at {endpoint}", old, optional=True)
    full = upkeep.near_quota(status)
    yield Check(f"space of etcd at {endpoint}", full)
