"""The store's own identity, and the number that tokens are counted from.

A cluster's revisions begin at 1, and begin again lower after it was restored from a backup or
replaced by a new one; tokens must not. So each lease's token is its revision plus a base that is
only ever raised (leases.md 2.3).
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from volplug.errors import HostError
from volplug.etcd.client import Client
from volplug.etcd.keys import Keys
from volplug.etcd.wire import KeyValue, get, put, unchanged

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Meta:
    """The identity of a store; `generation` grows with each declared restore."""

    uuid: str
    generation: int = 1
    token_base: int = 0
    format: int = FORMAT


def token_base(found: KeyValue | None) -> int:
    """Return the base of the tokens that are given now."""
    return _read(found).token_base if found else 0


def settle(client: Client, keys: Keys) -> Meta:
    """Return the store's identity, giving it one if it has none.

    Raises HostError for a newer format.
    """
    return _change(client, keys, lambda meta: meta)


def raise_base(client: Client, keys: Keys, *, newest: int) -> Meta:
    """See to it that all tokens given from now on are greater than `newest`."""

    def raised(meta: Meta) -> Meta:
        return replace(meta, token_base=max(meta.token_base, newest))

    return _change(client, keys, raised)


def begin_epoch(client: Client, keys: Keys) -> int:
    """Rewrite the identity as it is, and return the revision of that.

    Whoever makes a key that is not there compares the identity's revision, so a copy of such a
    request that is still on its way dies with this.
    """
    awaited = "the store's identity"
    while True:
        found = client.txn(awaited, then=[get(keys.meta)]).one(0)
        assert found is not None, "a store that is open has an identity"
        reply = client.txn(
            awaited,
            when=[unchanged(keys.meta, found.modified)],
            then=[put(keys.meta, found.value)],
        )
        if reply.succeeded:
            return reply.revision


def declare_restored(client: Client, keys: Keys, *, newest: int) -> Meta:
    """Begin a new generation of the store, whose tokens are all greater than `newest`."""

    def restored(meta: Meta) -> Meta:
        return replace(
            meta,
            generation=meta.generation + 1,
            token_base=max(meta.token_base, newest),
        )

    return _change(client, keys, restored)


def _change(client: Client, keys: Keys, change: Callable[[Meta], Meta]) -> Meta:
    awaited = "the store's identity"
    while True:
        found = client.txn(awaited, then=[get(keys.meta)]).one(0)
        before = _read(found) if found else Meta(secrets.token_hex(16))
        after = change(before)
        if found and after == before:
            return after
        reply = client.txn(
            awaited,
            when=[unchanged(keys.meta, found.modified if found else 0)],
            then=[put(keys.meta, json.dumps(asdict(after)))],
        )
        if reply.succeeded:
            return after


def _read(found: KeyValue) -> Meta:
    meta = Meta(**json.loads(found.value))
    if meta.format > FORMAT:
        raise HostError(
            f"the store has format {meta.format}, written by a newer volplug, and this one knows "
            f"formats up to {FORMAT}: install the newer volplug on this node"
        )
    return meta
