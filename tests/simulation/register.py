"""etcd as a register file: transactions on revisions, behind members that lag, stick and forget.

A request that a client has given up may still lie in a member's queue, and be applied long after;
so an answer that never came says nothing of what happened.
"""

from base64 import b64decode, b64encode
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

Words: TypeAlias = Mapping[str, Any]

CLUSTER = "simulated"


@dataclass(slots=True)
class Value:
    """A key as it stands; its text is in base64, as it travels."""

    key: str
    text: str
    modified: int
    created: int


@dataclass(frozen=True, slots=True)
class Change:
    """One key, changed in one transaction; `text` is None if it was deleted."""

    revision: int
    key: str
    text: str | None

    def plain(self) -> str:
        """Return what was written."""
        return b64decode(self.text or "").decode()


@lru_cache(maxsize=4096)
def plain(key: str) -> str:
    """Return a key as people read it."""
    return b64decode(key).decode()


class Register:
    """All keys, as the members agree on them; `watch` is told of every change."""

    def __init__(self, watch: Callable[[list[Change]], None]) -> None:
        self.revision = 1
        self._values: dict[str, Value] = {}
        self._order: list[str] = []
        self._watch = watch

    def txn(self, body: Words) -> dict[str, Any]:
        """Run a transaction and return the gateway's answer."""
        holds = all(map(self._holds, body["compare"]))
        changes: list[Change] = []
        revision = self.revision + 1
        responses = [
            self._do(operation, revision, changes)
            for operation in body["success" if holds else "failure"]
        ]
        if changes:
            self.revision = revision
            self._watch(changes)
        answer: dict[str, Any] = {
            "header": {"cluster_id": CLUSTER, "revision": str(self.revision)},
            "responses": responses,
        }
        if holds:
            answer["succeeded"] = True
        return answer

    def value(self, key: str) -> Value | None:
        """Return a key as it stands, for those who check."""
        return self._values.get(key)

    def below(self, prefix: str) -> list[Value]:
        """Return all keys that begin with a prefix, for those who check."""
        found = []
        for key in self._order[bisect_left(self._order, prefix) :]:
            if not key.startswith(prefix):
                break
            found.append(self._values[key])
        return found

    def _holds(self, compare: Words) -> bool:
        found = self._values.get(plain(compare["key"]))
        assert compare["result"] == "EQUAL", compare
        if compare["target"] == "MOD":
            return int(compare["mod_revision"]) == (found.modified if found else 0)
        assert compare["target"] == "CREATE", compare
        return int(compare["create_revision"]) == (found.created if found else 0)

    def _do(self, operation: Words, revision: int, changes: list[Change]) -> dict[str, Any]:
        if (wanted := operation.get("request_put")) is not None:
            self._put(plain(wanted["key"]), wanted["value"], revision, changes)
            return {"response_put": {}}
        if (wanted := operation.get("request_delete_range")) is not None:
            self._delete(plain(wanted["key"]), revision, changes)
            return {"response_delete_range": {}}
        wanted = operation["request_range"]
        return {"response_range": {"kvs": self._range(wanted)}}

    def _put(self, key: str, text: str, revision: int, changes: list[Change]) -> None:
        found = self._values.get(key)
        if found is None:
            insort(self._order, key)
        self._values[key] = Value(key, text, revision, found.created if found else revision)
        changes.append(Change(revision, key, text))

    def _delete(self, key: str, revision: int, changes: list[Change]) -> None:
        if self._values.pop(key, None) is not None:
            del self._order[bisect_left(self._order, key)]
            changes.append(Change(revision, key, None))

    def _range(self, wanted: Words) -> list[dict[str, str]]:
        first = plain(wanted["key"])
        if "range_end" not in wanted:
            found = [first] if first in self._values else []
        else:
            low = bisect_left(self._order, first)
            found = self._order[low : bisect_left(self._order, plain(wanted["range_end"]))]
        return [_as_sent(self._values[key], bare=wanted.get("keys_only", False)) for key in found]


@lru_cache(maxsize=4096)
def _encoded(key: str) -> str:
    return b64encode(key.encode()).decode()


def _as_sent(value: Value, *, bare: bool) -> dict[str, str]:
    sent = {
        "key": _encoded(value.key),
        "mod_revision": str(value.modified),
        "create_revision": str(value.created),
    }
    if not bare:
        sent["value"] = value.text
    return sent
