"""How large images are, and how much more the disk below them can be asked for."""

from typing import Any

from volplug.sdk import Exhausted, Pool, Size, Volume, VolumeNotFound
from volplug_loop import _image


def present(root: int, handle: str, volume: Volume[Any]) -> Size:
    """Return the size of a volume's image; VolumeNotFound if it has none any more."""
    size_bytes = _image.size_bytes(root, handle)
    if size_bytes is None:
        raise VolumeNotFound(f"the image of volume {volume.name!r} is gone")
    return Size(size_bytes)


def admit(pool: Pool, root: int, overcommit: float, more: int) -> None:
    """Refuse to promise more than the free space, times the operator's factor, can still take."""
    promised, free = Size(_image.promised_bytes(root)), pool.free(root)
    if more > free * overcommit - promised:
        raise Exhausted(
            f"no room for {Size(more)} in {pool.root}: {free} are free, and thin volumes may still "
            f"take {promised} (overcommit={overcommit:g}); ask for less or delete volumes"
        )
