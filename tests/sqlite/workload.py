"""A process that leases volumes from four threads until it is done, or killed.

    python workload.py STORE SYNCHRONOUS LEASES_PER_THREAD

Before it asks for a lease it prints "ask VOLUME", and after the answer "ack VOLUME TOKEN", each in
one write(2). It ends without closing the store, as a crash does.
"""

import os
import sys
import threading
from pathlib import Path

from volplug.lease import LeaseTable
from volplug.session import Session
from volplug.sqlite import SqliteStore, connection
from volplug.volume import AccessMode

SESSION = Session("a", "boot-1", "machine of a", "workload")
_CHECKPOINT_PAGES = 20  # a checkpoint every few leases, so that crashes within it are seen


def main(path: Path, synchronous: str, leases_per_thread: int) -> None:
    """Lease volumes with names of their own from four threads."""
    connection.SYNCHRONOUS = synchronous
    store = SqliteStore(path)
    store._database.write(
        "frequent checkpoints",
        lambda c: c.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}").fetchone(),
    )
    table = store.leases(SESSION)
    threads = [
        threading.Thread(target=_lease, args=(table, f"volume-{letter}", leases_per_thread))
        for letter in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)


def _lease(table: LeaseTable, prefix: str, count: int) -> None:
    for number in range(count):
        volume = f"{prefix}-{number}"
        os.write(1, f"ask {volume}\n".encode())
        lease = table.acquire(volume, AccessMode.SINGLE_WRITER)
        os.write(1, f"ack {volume} {lease.token}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
