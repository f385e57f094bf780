"""Moving a node's own volumes into the store of a cluster, one by one, so that it can be repeated.

Each record is stored there before it is forgotten here: a crash between the two leaves it in both,
and the next run sees that they are the same. Names are the cluster's from then on, so two nodes
that each have a volume `data` cannot both move it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from volplug.catalog import Catalog, Record
from volplug.errors import VolumeExists
from volplug.lease import LeaseTable

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Side:
    """One store, as a node sees it."""

    catalog: Catalog
    leases: LeaseTable


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be done with one volume; `clash` is why it cannot be, or empty."""

    record: Record
    there: bool
    clash: str = ""


def plan(source: Catalog, target: Catalog) -> list[Move]:
    """Say for each volume of the source what moving it means; nothing is changed."""
    moves = []
    for record in source.records():
        found = target.get(record.name)
        clash = ""
        if found is not None and found != record:
            clash = (
                f"the cluster has another volume '{record.name}', made at"
                f" {found.created_at:%F %T} on backend '{found.backend}'"
            )
        moves.append(Move(record, there=found == record, clash=clash))
    return moves


def migrate(source: Side, target: Side, tell: Tell) -> list[Move]:
    """Move all volumes, and this node's leases of them, telling of each; return what was moved.

    Both stores' leases are this node's. Raises VolumeExists, before anything is changed, if any
    volume's name is taken. After a failure a repetition goes on where it ended.
    """
    moves = plan(source.catalog, target.catalog)
    clashes = [move.clash for move in moves if move.clash]
    if clashes:
        raise VolumeExists(
            f"nothing was moved: {'; '.join(clashes)}: delete one of each two, then repeat"
        )
    for number, move in enumerate(moves, 1):
        name = move.record.name
        if not move.there and not target.catalog.add(move.record):
            raise VolumeExists(f"the cluster has got a volume '{name}' in this moment: repeat")
        lease = source.leases.mine(name)
        if lease is not None:
            target.leases.acquire(name, lease.access)
            source.leases.release(lease)
        source.catalog.remove(name)
        tell(f"{number} of {len(moves)}: {name}{' with its lease' if lease else ''}")
    return moves
