"""Reads what may be long, in pages of one revision.

A try is given one second, so that a stuck member is left in time (connection.py): twenty thousand
leases in one answer take longer than that on a busy machine, and then no node could begin.
"""

from collections.abc import Sequence

from volplug.deadline import check
from volplug.errors import HostError
from volplug.etcd.client import Client
from volplug.etcd.wire import KeyValue, Reply, Words, page

PAGE_KEYS = 2000


def read(
    client: Client,
    awaited: str,
    prefix: str,
    beside: Sequence[Words] = (),
    *,
    keys: int = PAGE_KEYS,
) -> tuple[list[KeyValue], Reply]:
    """Return all below a prefix, and a reply that begins with the few ranges `beside` it.

    All is as it was at one revision; raises as Client.txn does.
    """
    while True:
        check(awaited)
        reply = client.txn(awaited, then=[*beside, page(prefix, keys)])
        found = list(reply.ranges[-1])
        try:
            while len(found) % keys == 0 and len(found) > 0:
                then = [page(prefix, keys, after=found[-1].key, revision=reply.revision)]
                more = client.txn(awaited, then=then).ranges[0]
                if not more:
                    break
                found += more
        except HostError as error:
            if "compacted" not in str(error):
                raise
            continue  # so much was changed meanwhile that our revision is forgotten: once more
        return found, reply
