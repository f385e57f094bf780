"""Sizes of volumes as quotas of their directories, which Gluster counts with a delay.

With its default timeouts ten times the limit was accepted; with both at 0 no more than what is in
flight, at a third of the speed (backends-file 3.3). That choice is the operator's, and what follows
from it is told as it is.
"""

from volplug.sdk import Exhausted, Size, Tree, Unsupported, deadline, wait_until
from volplug_glusterfs._cluster import Cluster

_ROUNDED_BYTES = 1 << 20
"""How much less than its limit a directory's size may read, for it is counted in blocks."""


class Quota:
    """The limits of one Gluster volume's directories."""

    def __init__(self, cluster: Cluster, tree: Tree, *, allowed: bool) -> None:
        self._cluster, self._tree, self._allowed = cluster, tree, allowed

    def check(self, size: Size) -> None:
        """Raise Unsupported where sizes are not kept, and Exhausted if there is no such room."""
        if not self._allowed:
            raise Unsupported(
                "size= is not kept on this backend: set quota = true in its configuration"
            )
        if self._cluster.option("features.quota") != "on":
            raise Unsupported(
                f"quotas are off: run `gluster volume quota {self._cluster.volume} enable` first"
            )
        total = self._tree.statvfs(".").total_bytes
        if not 0 < size <= total:
            raise Exhausted(
                f"a size of {size} cannot be had: Gluster volume {self._cluster.volume!r} has "
                f"{Size(total)} in all"
            )

    def limit(self, path: str, size: Size) -> None:
        """Set a limit, and return once the directory shows it; repeating is success."""
        self._cluster.limit(path, size)
        with deadline(10):
            wait_until(
                lambda: size - _ROUNDED_BYTES <= self._tree.statvfs(path).total_bytes <= size,
                f"the quota of /{path} to be in force",
            )

    def raise_to(self, path: str, size: Size) -> None:
        """Set a limit that is larger than the one in force; a smaller one changes nothing."""
        if self._tree.statvfs(path).total_bytes + _ROUNDED_BYTES < size:
            self.limit(path, size)

    def enforced(self) -> str:
        """Say `hard` if the limit is kept but for writes in flight, `soft` if it is kept late."""
        timeouts = {self._cluster.option(f"features.{kind}-timeout") for kind in ("soft", "hard")}
        return "hard" if timeouts == {"0"} else "soft"
