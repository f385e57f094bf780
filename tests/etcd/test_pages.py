"""Reading in pages: all that was there at one moment, whatever happens meanwhile."""

from collections.abc import Callable, Sequence

import pytest

from tests.etcd.cluster import Cluster
from volplug.etcd import pages
from volplug.etcd.client import Client
from volplug.etcd.wire import Reply, Words, delete, get, put


class Busy(Client):
    """A client behind whose back something happens after its first answers."""

    def __init__(self, cluster: Cluster, *happens: Callable[[Client], object]) -> None:
        super().__init__(cluster.access)
        self._happens = list(happens)
        self._other = Client(cluster.access)
        self.asked = 0

    def txn(
        self,
        awaited: str,
        *,
        when: Sequence[Words] = (),
        then: Sequence[Words] = (),
        otherwise: Sequence[Words] = (),
    ) -> Reply:
        """Ask, and let it happen."""
        reply = super().txn(awaited, when=when, then=then, otherwise=otherwise)
        self.asked += 1
        if self._happens:
            self._happens.pop(0)(self._other)
        return reply


def fill(cluster: Cluster, prefix: str, count: int) -> list[str]:
    """Write that many keys, and return them in order."""
    keys = [f"{prefix}/{number:03}" for number in range(count)]
    client = Client(cluster.access)
    client.txn("keys", then=[put(key, "x") for key in keys])
    client.close()
    return keys


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 25])
def test_all_pages(cluster: Cluster, prefix: str, count: int) -> None:
    """Every key is read once and in order, however the pages fall; neighbours are not."""
    keys = fill(cluster, prefix, count)
    fill(cluster, prefix + "0", 3)
    found, reply = pages.read(
        Client(cluster.access), "keys", prefix + "/", [get(f"{prefix}/000")], keys=10
    )
    assert [each.key for each in found] == keys
    assert [each.key for each in reply.ranges[0]] == keys[:1]


def test_one_page_is_one_question(cluster: Cluster, prefix: str) -> None:
    """What fits costs no more than it did before there were pages."""
    fill(cluster, prefix, 9)
    client = Busy(cluster)
    pages.read(client, "keys", prefix + "/", keys=10)
    assert client.asked == 1


def test_pages_are_of_one_moment(cluster: Cluster, prefix: str) -> None:
    """A key that goes and one that comes between two pages are read as at the first."""
    keys = fill(cluster, prefix, 25)

    def change(other: Client) -> None:
        other.txn("a change", then=[delete(keys[20]), put(f"{prefix}/015-new", "x")])

    found, _ = pages.read(Busy(cluster, change), "keys", prefix + "/", keys=10)
    assert [each.key for each in found] == keys


def test_forgotten_moment_is_read_anew(cluster: Cluster, prefix: str) -> None:
    """If etcd was compacted between two pages, all is read again, as it is by then."""
    keys = fill(cluster, prefix, 25)

    def compact(other: Client) -> None:
        other.txn("a change", then=[delete(keys[20])])
        revision = other.txn("a change", then=[put(f"{prefix}/999", "x")]).revision
        other.ask("compaction", "kv/compaction", {"revision": str(revision)})

    found, _ = pages.read(Busy(cluster, compact), "keys", prefix + "/", keys=10)
    assert [each.key for each in found] == [*keys[:20], *keys[21:], f"{prefix}/999"]
