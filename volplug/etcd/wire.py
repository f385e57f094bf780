"""The few words of etcd's JSON gateway that are spoken here: one transaction, and what is in it.

The gateway writes keys and values in base64, numbers as text, and leaves out whatever is zero,
empty or false.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Words: TypeAlias = Mapping[str, Any]
"""A comparison or an operation, ready to be sent."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it stands; `modified` is the revision of its last change, 0 if it is not there."""

    key: str
    value: str
    modified: int
    created: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a transaction came to: the revision, whether the comparisons held, what was read.

    `ranges` holds one list for each range of the branch that was taken, in their order.
    """

    cluster: str
    revision: int
    succeeded: bool
    ranges: tuple[tuple[KeyValue, ...], ...]

    def one(self, index: int) -> KeyValue | None:
        """Return the only key of a range, or None if it is not there."""
        return self.ranges[index][0] if self.ranges[index] else None


def unchanged(key: str, modified: int) -> Words:
    """Compare: the key was last changed at that revision; 0: it was never there."""
    return {"key": _text(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(modified)}


def put(key: str, value: str) -> Words:
    """Write a key."""
    return {"request_put": {"key": _text(key), "value": _text(value)}}


def delete(key: str) -> Words:
    """Delete a key."""
    return {"request_delete_range": {"key": _text(key)}}


def get(key: str) -> Words:
    """Read a key."""
    return {"request_range": {"key": _text(key)}}


def below(prefix: str, *, keys_only: bool = False) -> Words:
    """Read all keys that begin with the prefix, which must end in ASCII."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return {
        "request_range": {"key": _text(prefix), "range_end": _text(end), "keys_only": keys_only}
    }


def page(prefix: str, keys: int, *, after: str = "", revision: int = 0) -> Words:
    """Read the first keys that begin with the prefix, or those after one, as of a revision."""
    words = dict(below(prefix)["request_range"])
    if after:
        words["key"] = _text(after + "\0")
    return {"request_range": {**words, "limit": str(keys), "revision": str(revision)}}


def read_reply(answer: Mapping[str, Any]) -> Reply:
    """Read the answer to a transaction; raise KeyError or ValueError if it is none."""
    header = answer["header"]
    ranges = (each["response_range"] for each in answer.get("responses", ()) if _is_range(each))
    return Reply(
        cluster=header["cluster_id"],
        revision=int(header["revision"]),
        succeeded=answer.get("succeeded", False),
        ranges=tuple(tuple(map(_key_value, each.get("kvs", ()))) for each in ranges),
    )


def _is_range(response: Mapping[str, Any]) -> bool:
    return "response_range" in response


def _key_value(each: Mapping[str, Any]) -> KeyValue:
    return KeyValue(
        key=b64decode(each["key"]).decode(),
        value=b64decode(each.get("value", "")).decode(),
        modified=int(each["mod_revision"]),
        created=int(each["create_revision"]),
    )


def _text(text: str) -> str:
    return b64encode(text.encode()).decode()
