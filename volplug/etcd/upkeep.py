"""What etcd does not do by itself: forgetting old revisions, and warning before it is full.

A renewal costs 318 bytes of database. A hundred nodes fill the 2 GB that etcd allows itself in two
days when nothing compacts it, which is etcd's default; then nobody can renew (leases.md 2.6).
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from volplug.errors import HostError, VolplugError
from volplug.etcd import meta, pages
from volplug.etcd.client import Client
from volplug.etcd.entry import Entry
from volplug.etcd.keys import Keys
from volplug.etcd.wire import delete, unchanged

_log = logging.getLogger(__name__)

PERIOD_S = 300.0
KEPT_REVISIONS = 1000
_LARGE_BYTES = 3 * 2**29  # of the 2 GiB that are etcd's default quota
_RECOMMENDED = (3, 4, 31)  # before it, and in 3.5 before 3.5.13, etcd has faults we work around


class Upkeep:
    """A thread that looks after the store every five minutes; on one node of the cluster."""

    def __init__(
        self, client: Client, keys: Keys, is_mine: Callable[[], bool], note: Callable[[], None]
    ) -> None:
        """`is_mine` says whether this is the node to do it; `note` is called each time."""
        self._client = client
        self._keys = keys
        self._epoch = 0
        self._is_mine = is_mine
        self._note = note
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store upkeep", daemon=True)

    def start(self) -> None:
        """Begin: the first look warns of what is wrong already."""
        self._thread.start()

    def stop(self) -> None:
        """End soon. Repeating is success."""
        self._stop.set()

    def look(self) -> None:
        """Warn of what endangers the store, and compact it if that is for us to do."""
        for problem in self.problems():
            _log.warning("store: %s", problem)
        if self._is_mine():
            compact(self._client)
            sweep_volumes(self._client, self._keys, older_than=self._epoch)
            self._epoch = meta.begin_epoch(self._client, self._keys)
        self._note()

    def problems(self) -> Iterator[str]:
        """Say what an operator should see to."""
        yield from alarms(self._client)
        status = self._client.ask("etcd's status", "maintenance/status", {})
        for problem in (near_quota(status), old_version(status)):
            if problem:
                yield problem

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except VolplugError as error:
                _log.warning("store upkeep: %s", error)
            except Exception:  # noqa: BLE001  a bug must not end the upkeep
                _log.exception("store upkeep")
            if self._stop.wait(PERIOD_S):
                return


def alarms(client: Client) -> Iterator[str]:
    """Say which alarms etcd raises, and what that means."""
    found = client.ask("etcd's alarms", "maintenance/alarm", {"action": "GET"})
    for alarm in found.get("alarms", ()):
        yield (
            f"etcd raises the alarm {alarm.get('alarm', '?')}: nobody can renew a lease until "
            "it is compacted, defragmented and disarmed (`etcdctl alarm disarm`)"
        )


def near_quota(status: Mapping[str, Any]) -> str:
    """Say that a member's database is nearly full, or nothing."""
    size_bytes = int(status.get("dbSize", 0))
    if size_bytes <= _LARGE_BYTES:
        return ""
    return (
        f"etcd's database has {size_bytes / 2**30:.1f} GiB, near its default quota of 2: "
        "defragment it, or raise --quota-backend-bytes"
    )


def old_version(status: Mapping[str, Any]) -> str:
    """Say that a member's version should be replaced, or nothing."""
    version = str(status.get("version", ""))
    if not _older(version):
        return ""
    return f"etcd {version} works, but is out of support: 3.5.13 or newer is recommended"


def compact(client: Client) -> int:
    """Let etcd forget all but the last revisions; return the oldest kept. Repeating is success."""
    oldest = client.revision() - KEPT_REVISIONS
    if oldest > 0:
        try:
            client.ask("etcd's compaction", "kv/compaction", {"revision": str(oldest)})
        except HostError as error:
            if "compacted" not in str(error):  # somebody was quicker, or our first try was
                raise
    return max(oldest, 0)


def sweep_volumes(client: Client, keys: Keys, *, older_than: int) -> int:
    """Delete the keys of volumes that have no record and no lease; return how many.

    Only those that had not changed any more when the present epoch began.
    """
    awaited = "the volumes that are gone"
    # The volumes first: whoever leases one afterwards changes its key, and it is not swept.
    volumes, _ = pages.read(client, awaited, keys.volumes)
    leases, _ = pages.read(client, awaited, keys.leases())
    leased = {keys.lease_parts(each.key)[0] for each in leases}
    swept = 0
    for each in volumes:
        name = each.key.removeprefix(keys.volumes)
        gone = Entry.read(each).record is None and name not in leased
        if gone and each.modified < older_than:
            when, then = [unchanged(each.key, each.modified)], [delete(each.key)]
            swept += client.txn("the sweeping of volumes", when=when, then=then).succeeded
    return swept


def _older(version: str) -> bool:
    try:
        found = tuple(map(int, version.split(".")[:3]))
    except ValueError:
        return False
    return found < _RECOMMENDED or (3, 5) <= found < (3, 5, 13)
