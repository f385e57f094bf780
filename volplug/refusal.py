"""The sentences with which a Mount is refused: `volplug why` begins with the same, to the word.

Who is refused at night searches for what stood in the error. The refusal by another node's lease is
made where the lease is looked at, in lease.py.
"""

from collections.abc import Sequence

from volplug.catalog import Record, RecordState
from volplug.errors import Busy, HeldElsewhere, VolplugError, VolumeNotFound
from volplug.mount_table import MountRow


def absent(name: str) -> VolumeNotFound:
    """Return the refusal of whoever names a volume that does not exist."""
    return VolumeNotFound(f"there is no volume '{name}' (`volplug ls` lists them)")


def not_ready(record: Record) -> VolplugError | None:
    """Return the refusal of whoever wants to use a volume that is being made or deleted."""
    if record.state is RecordState.CREATING:
        return VolumeNotFound(
            f"there is no volume '{record.name}' yet: backend '{record.backend}' has not finished"
            " making it; try again when it has"
        )
    if record.state is RecordState.DELETING:
        return Busy(f"volume '{record.name}' is being deleted and cannot be mounted any more")
    return None


def single_container(name: str, node: str, users: Sequence[MountRow]) -> HeldElsewhere:
    """Return the refusal of a second container where the access mode admits one."""
    since = f" since {users[0].mounted_at:%F %T} UTC" if users else ""
    return HeldElsewhere(
        f"volume '{name}' is held by another container on node '{node}'{since}, and"
        " access=single-container admits one mount: stop that container, or create the volume"
        " with access=single-writer"
    )
