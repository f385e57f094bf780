"""A hundred thousand leases in seconds: one is acquired, and the others are made of its rows.

A grant is a read and a durable write of its own, and so many of them take longer than what is to be
measured with them. What counts as a lease is asked of the lease tables themselves afterwards.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from volplug.etcd.client import Client
from volplug.etcd.keys import Keys
from volplug.etcd.wire import KeyValue, Words, below, put
from volplug.lease import Lease

_TXN_OPS = 128
"""How many operations etcd takes in one transaction, unless it was told otherwise."""

_AT_ONCE = 8


def multiply(client: Client, keys: Keys, wanted: Iterable[tuple[Lease, Sequence[str]]]) -> None:
    """Lay down copies of leases, each under the names that come with it.

    The rows of a lease are those of the revision that its token is, but for its node's session.
    """
    found = client.txn("all there is", then=[below(f"{keys.prefix}/")]).ranges[0]
    granted: dict[int, list[KeyValue]] = {}
    for each in found:
        if not each.key.startswith(keys.nodes):
            granted.setdefault(each.modified, []).append(each)

    def transactions() -> Iterator[list[Words]]:
        for lease, names in wanted:
            rows = granted[lease.token]
            size = _TXN_OPS // len(rows)
            for first in range(0, len(names), size):
                batch = names[first : first + size]
                yield [_copy(row, lease.volume, name) for name in batch for row in rows]

    with ThreadPoolExecutor(_AT_ONCE) as pool:  # a write that is repeated writes the same again
        for _ in pool.map(lambda then: client.txn("many leases", then=then), transactions()):
            pass


def _copy(row: KeyValue, volume: str, name: str) -> Words:
    assert volume in row.key, f"{row.key} is no row of volume {volume!r}"
    return put(row.key.replace(volume, name), row.value.replace(volume, name))
