"""Disk images in files of this node as volumes: a hard size limit, and a real block device.

Two facts shape it. A sparse image on a full disk accepts buffered writes and loses them at fsync,
with ext4 still writable (backends-file 7): so images are fully allocated unless the user says
`thin`, and what all images may still grow by is held against the free space. And an unfinished
image must never be seen: it is made as a file without a name, which a crash removes by itself, and
gets its name last.
"""

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from volplug.sdk import (
    AccessMode,
    Cloneable,
    DeadlineExceeded,
    Device,
    Driver,
    Expandable,
    InvalidOptions,
    LoopFile,
    Pool,
    Size,
    Snapshot,
    Snapshottable,
    Volume,
    VolumeInUse,
    deadline,
    option,
    wait_until,
)
from volplug_loop import _image, _kept, _room

# What mkfs and the kernel need at least, with room for a file or two.
_LEAST = {"ext4": Size.parse("16M"), "xfs": Size.parse("300M"), "btrfs": Size.parse("128M")}
_LET_GO_S = 3.0
Opened: TypeAlias = Callable[[int, str], AbstractContextManager[int]]


@dataclass(frozen=True)
class LoopConfig:
    """Where images are kept, and how much of the disk may be promised."""

    root: Path = option(help="directory that holds the images", default=Path("images"))
    default_size: Size = option(help="size of a volume without size=", default=Size.parse("1G"))
    overcommit: float = option(
        help="how many times the free space thin images may promise",
        default=1.0,
        check=lambda factor: 1 <= factor <= 100,
        want="a factor from 1 to 100",
    )


@dataclass(frozen=True)
class LoopOptions:
    """What a user says of one volume."""

    size: Size | None = option(help="size of the volume", default=None)
    fstype: Literal["ext4", "xfs", "btrfs"] = option(help="file system", default="ext4")
    thin: bool = option(help="take space only when it is written", default=False)


class LoopDriver(Driver[LoopConfig, LoopOptions], Expandable, Cloneable, Snapshottable):
    """An image file per volume. Never `shared`: two kernels on one ext4 destroy it."""

    access_modes = frozenset(AccessMode) - {AccessMode.SHARED}
    size_enforced = "hard"
    attach_limit = "the kernel's loop devices"
    snapshot_fate = _kept.FATE
    node_local = True

    def __init__(self, config: LoopConfig) -> None:
        super().__init__(config)
        self._pool = Pool(config.root)

    def create(self, name: str, options: LoopOptions) -> str:
        """Allocate an image and give it its name; one that has the name already is left alone."""
        size = self.config.default_size if options.size is None else options.size
        if size < (least := _LEAST[options.fstype]):
            raise InvalidOptions(f"size={size} is too small: {options.fstype} needs {least}")
        with self._pool.opened(make=True) as root:
            handle = self._pool.handle(root, name)
            if _image.size_bytes(root, handle) is None:
                _room.admit(self._pool, root, self.config.overcommit, size)
                with _image.nameless(root) as image:
                    _image.grow(image, size, thin=options.thin)
                    _image.name(root, image, handle)
            os.fsync(root)
        return handle

    def delete(self, volume: Volume[LoopOptions]) -> None:
        """Remove the image; refused while a loop device of this node still has it."""
        with self._pool.opened() as root:
            handle = self._pool.check(root, volume)
            path = self._pool.root / handle
            # A device that frees itself at the last unmount may take a moment to do so.
            with contextlib.suppress(DeadlineExceeded), deadline(_LET_GO_S):
                wait_until(lambda: not _image.devices(path), "the loop device")
            for device in _image.devices(path):
                raise VolumeInUse(f"{device} still has the image of {volume.name!r}: unmount it")
            _image.remove(root, handle)
            _kept.remove(root, handle, *(one.name for one in _kept.listed(root, handle)))
            os.fsync(root)

    def attach(self, volume: Volume[LoopOptions], node_id: str) -> Device:  # noqa: ARG002  one node
        """Name the image file, and its size as it is now."""
        with self._pool.opened() as root:
            handle = self._pool.check(root, volume)
            present = _room.present(root, handle, volume)
        # The blocks of a thin volume's deleted files go back to the disk.
        trim = ("discard",) if volume.options.thin else ()
        identity = LoopFile(self._pool.root / handle)
        return Device(identity, volume.options.fstype, trim, size_bytes=present)

    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Grow the image in place; the loop device and the file system on it are the host's."""
        with self._pool.opened() as root:
            handle = self._pool.check(root, volume)
            present = _room.present(root, handle, volume)
            if size < present:
                raise InvalidOptions(
                    f"volume {volume.name!r} is {present} large and cannot shrink to {size}: "
                    "make a smaller one and copy the files"
                )
            _room.admit(self._pool, root, self.config.overcommit, size - present)
            with _image.opened(root, handle) as image:
                _image.grow(image, size, thin=volume.options.thin)

    def clone(self, origin: Volume[Any], name: str, options: LoopOptions) -> str:
        """Share the origin's blocks until either is written, where the file system can."""
        return self._copied(origin, _image.opened, name, options)

    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Keep the image's blocks, where the file system can share them; Unsupported elsewhere."""
        with self._pool.opened() as root:
            handle = self._pool.check(root, volume)
            present = _room.present(root, handle, volume)
            if name not in [one.name for one in _kept.listed(root, handle)]:
                # All of it, for shared blocks are copied when the volume writes them.
                _room.admit(self._pool, root, self.config.overcommit, present)
            _kept.take(root, handle, name, self._pool.root)

    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        """List what is kept beside the image."""
        with self._pool.opened() as root:
            handle = self._pool.check(root, volume)
            gone = _image.size_bytes(root, handle) is None
            return [] if gone else _kept.listed(root, handle)

    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Remove a snapshot; what it shares with others stays theirs. Gone is success."""
        with self._pool.opened() as root:
            _kept.remove(root, self._pool.check(root, volume), name)
            os.fsync(root)

    def clone_snapshot(
        self, origin: Volume[Any], snapshot: str, name: str, options: LoopOptions
    ) -> str:
        """Make an image out of a snapshot, sharing its blocks."""

        def opened(root: int, handle: str) -> AbstractContextManager[int]:
            return _kept.opened(root, handle, snapshot)

        return self._copied(origin, opened, name, options)

    def _copied(self, origin: Volume[Any], opened: Opened, name: str, options: LoopOptions) -> str:
        if options.fstype != origin.options.fstype:
            raise InvalidOptions(f"a clone of {origin.name!r} has fstype={origin.options.fstype}")
        with self._pool.opened(make=True) as root:
            source = self._pool.check(root, origin)
            handle = self._pool.handle(root, name)
            if _image.size_bytes(root, handle) is None:
                present = _room.present(root, source, origin)
                size = present if options.size is None else options.size
                if size < present:
                    raise InvalidOptions(f"size={size} is too small: {origin.name!r} is {present}")
                _room.admit(
                    self._pool, root, self.config.overcommit, size
                )  # all of it, for shared blocks are copied when written
                with opened(root, source) as blocks, _image.nameless(root) as image:
                    _image.share(blocks, image, self._pool.root)
                    _image.grow(image, size, thin=options.thin)
                    _image.name(root, image, handle)
            os.fsync(root)
        return handle
