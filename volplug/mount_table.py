"""Which workloads of this node were given which volume: the rows behind Mount and Unmount.

Local to the node whatever keeps the leases. A row is a hint and not the truth: engines lose
Unmounts, repeat Mounts with old IDs, and use one ID twice (docker-contract 3.2); `mounts.py` has
the rules that make sense of that.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MountRow:
    """One mount ID's use of one volume on one node.

    `count` is how often the ID was mounted and not unmounted; 0 means it is draining. `epoch`
    counts the engine's lives, `boot_id` names the kernel's.
    """

    volume: str
    node: str
    mount_id: str
    count: int
    epoch: int
    boot_id: str
    mounted_at: datetime


class MountTable(ABC):
    """All mount rows of this node, and the epoch. Every write is durable when it returns."""

    @abstractmethod
    def put(self, row: MountRow) -> None:
        """Store a row in place of the one with the same volume, node and mount ID."""

    @abstractmethod
    def remove(self, row: MountRow) -> None:
        """Forget the row with that volume, node and mount ID. Already forgotten is success."""

    @abstractmethod
    def rows(self, volume: str | None = None) -> list[MountRow]:
        """List the rows of one volume, or all, sorted by volume and mount ID."""

    @abstractmethod
    def epoch(self) -> int:
        """Return the present epoch, 0 on a new table."""

    @abstractmethod
    def next_epoch(self) -> int:
        """Begin a new epoch and return it."""
