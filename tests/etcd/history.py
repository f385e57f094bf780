"""What was asked and answered, and what etcd says of it afterwards: every revision of every key."""

import base64
import http.client
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.etcd.cluster import Member
from volplug.etcd.keys import Keys
from volplug.etcd.sessions import ALIVE


@dataclass(frozen=True)
class Tenure:
    """A lease from the answer that granted it to the moment before its release was asked for."""

    volume: str
    node: str
    token: int
    asked_s: float
    granted_s: float
    left_s: float


@dataclass(frozen=True)
class Event:
    """One change of one key; a deletion has no value."""

    revision: int
    key: str
    value: str | None


@dataclass
class History:
    """The changes of all keys below a prefix, in order."""

    events: list[Event] = field(default_factory=list)

    def ops(self, keys: Keys) -> list[str]:
        """Return the names of all changes that sessions have seen, in order.

        An end by another node is named after the life that it ends, for that ends once.
        """
        values = (each.value for each in self.events if each.key.startswith(keys.nodes))
        records = (json.loads(value) for value in values if value)
        return [
            each["last_op"] if each["state"] == ALIVE else f"{each['life']} {each['last_op']}"
            for each in records
        ]

    def tokens(self, keys: Keys) -> dict[int, str]:
        """Return the key of each lease that was ever granted, by its token."""
        granted = (each for each in self.events if each.key.startswith(keys.leases()))
        return {each.revision: each.key for each in granted if each.value is not None}

    def holders(self, keys: Keys) -> Iterator[tuple[str, set[str]]]:
        """Yield after each change of a lease its volume, and all keys that hold it then."""
        held: dict[str, set[str]] = defaultdict(set)
        for _, changes in self._by_revision(keys.leases()):
            for each in changes:
                volume, _, _ = keys.lease_parts(each.key)
                (held[volume].discard if each.value is None else held[volume].add)(each.key)
            for each in changes:
                volume, _, _ = keys.lease_parts(each.key)
                yield volume, held[volume]

    def _by_revision(self, prefix: str) -> list[tuple[int, list[Event]]]:
        grouped: dict[int, list[Event]] = defaultdict(list)
        for each in self.events:
            if each.key.startswith(prefix):
                grouped[each.revision].append(each)
        return sorted(grouped.items())


def read_history(member: Member, prefix: str) -> History:
    """Read all changes below a prefix up to now, by a watch that begins in the past.

    A key of no meaning is written first: the watch has come to the end when it shows that. Where
    the store was compacted meanwhile, it refuses the beginning, and tells how far back it can go.
    """
    connection = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=60)
    end = f"{prefix}/end-of-history"
    connection.request("POST", "/v3/kv/put", json.dumps({"key": _encode(end), "value": ""}))
    last = int(json.loads(connection.getresponse().read())["header"]["revision"])
    start: str | None = "1"
    while start is not None:
        history = History()
        start = _watch(member, prefix, start, last, history)
    connection.close()
    return history


def _watch(member: Member, prefix: str, start: str, last: int, history: History) -> str | None:
    """Read changes from a revision to the last one; or return where to begin instead."""
    connection = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=60)
    request = {
        "key": _encode(prefix + "/"),
        "range_end": _encode(prefix + "0"),
        "start_revision": start,
    }
    connection.request("POST", "/v3/watch", json.dumps({"create_request": request}))
    answer = connection.getresponse()
    try:
        while not history.events or history.events[-1].revision < last:
            found = json.loads(answer.readline())["result"]
            if "compact_revision" in found:
                return str(found["compact_revision"])
            history.events += map(_event, found.get("events", ()))
    finally:
        connection.close()
    return None


def assert_applied_once(history: History, keys: Keys) -> None:
    """No change was made twice, however often its request was sent (I7)."""
    twice = [op for op, times in Counter(history.ops(keys)).items() if times > 1]
    assert not twice, twice


def assert_answers_are_true(history: History, keys: Keys, tenures: list[Tenure]) -> None:
    """Every grant that was answered is in the store, under the token that was told."""
    granted = history.tokens(keys)
    for each in tenures:
        volume, node, _ = keys.lease_parts(granted[each.token])
        assert (volume, node) == (each.volume, each.node)


def assert_exclusive(history: History, keys: Keys, tenures: list[Tenure]) -> None:
    """Neither in the store nor in time do two nodes have one volume (I1, I4)."""
    for volume, holders in history.holders(keys):
        assert len(holders) <= 1, f"{volume} is held by {holders}"
    for volume in {each.volume for each in tenures}:
        in_order = sorted(
            (each for each in tenures if each.volume == volume), key=lambda one: one.token
        )
        for one, other in pairwise(in_order):
            assert one.token < other.token, f"token {one.token} was given twice"
            assert one.node == other.node or one.left_s <= other.granted_s, f"{one} and {other}"


def assert_in_real_time_order(tenures: list[Tenure]) -> int:
    """Whatever was granted before something else was asked for has the lower token; count them."""
    soonest_s = float("inf")
    for each in sorted(tenures, key=lambda one: one.token, reverse=True):
        assert each.asked_s <= soonest_s, f"{each} was asked for after a later one was granted"
        soonest_s = min(soonest_s, each.granted_s)
    return len(tenures)


def _event(each: dict[str, Any]) -> Event:
    pair = each["kv"]
    value = None if each.get("type") == "DELETE" else _decode(pair.get("value", ""))
    return Event(int(pair["mod_revision"]), _decode(pair["key"]), value)


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()
