"""Directories of this node as volumes.

The simplest driver, and the one that must not lose anybody's files: a volume is a directory below
one root, claimed by making it, or, with `path=`, a directory that was there before and outlives
the volume: that one is never renamed, changed or deleted.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volplug.sdk import (
    AccessMode,
    Cloneable,
    Driver,
    Exhausted,
    HostError,
    InvalidOptions,
    Pool,
    Share,
    Unavailable,
    VolplugError,
    Volume,
    VolumeNotFound,
    option,
    run,
)
from volplug_local import _directory
from volplug_local._adoption import adoptable
from volplug_local._trash import Trash


@dataclass(frozen=True)
class LocalConfig:
    """Where volumes are kept, and where else they may be."""

    root: Path = option(help="directory that holds the volumes", default=Path("volumes"))
    adopt_below: tuple[Path, ...] = option(
        help="the only directories that path= may point into; empty allows any", default=()
    )
    keep_out: tuple[Path, ...] = option(
        help="directories that path= may not touch, besides /proc, /sys, /dev and the root",
        default=(Path(),),  # relative to the state directory: the state directory itself
    )


@dataclass(frozen=True)
class LocalOptions:
    """What a user says of one volume."""

    path: Path | None = option(
        help="existing directory to use as the volume; it is never deleted", default=None
    )


class LocalDriver(Driver[LocalConfig, LocalOptions], Cloneable):
    """A directory per volume; on one node every access mode can be kept."""

    access_modes = frozenset(AccessMode)
    size_enforced = "not kept: what its disk has"
    attach_limit = "none"
    node_local = True

    def __init__(self, config: LocalConfig) -> None:
        super().__init__(config)
        self._pool = Pool(config.root)
        self._trash = Trash(self._pool.root)

    def create(self, name: str, options: LocalOptions) -> str:
        """Claim a directory by making it, or check the one to adopt and leave it as it is."""
        if options.path is not None:
            self._adopted(options.path)
        with self._pool.opened(make=True) as root:
            handle = self._pool.handle(root, name)
            if options.path is None and not _directory.exists(root, handle):
                _directory.claim(root, handle)
            os.fsync(root)
        return handle

    def delete(self, volume: Volume[LocalOptions]) -> None:
        """Move the directory out of the way for good, then remove it; an adopted one stays."""
        if volume.options.path is not None:
            return
        with self._pool.opened() as root:
            handle = self._pool.check(root, volume)
            for entry in (handle, _half_made(handle)):
                self._trash.discard(root, entry)
            # A power cut that undid the rename would give the next volume of that name this data.
            os.fsync(root)
        self._trash.purge()

    def attach(self, volume: Volume[LocalOptions], node_id: str) -> Share:  # noqa: ARG002  one node
        """Name the directory, after checking it anew."""
        return Share("bind", str(self._place(volume)))

    def clone(self, origin: Volume[Any], name: str, options: LocalOptions) -> str:
        """Copy the origin's tree, sharing its blocks where the file system can."""
        if options.path is not None:
            raise InvalidOptions("a clone gets a directory of its own: leave out path=")
        source = self._place(origin)
        with self._pool.opened(make=True) as root:
            handle = self._pool.handle(root, name)
            if not _directory.exists(root, handle):
                self._copy(root, source, handle)
            os.fsync(root)
        return handle

    def _copy(self, root: int, source: Path, handle: str) -> None:
        copy = _half_made(handle)
        path = self._pool.root / copy
        self._trash.discard(root, copy)
        try:
            run(["cp", "-a", "--reflink=auto", "--one-file-system", "-T", "--", source, path])
            run(["sync", "--file-system", path])
        except VolplugError as error:
            self._trash.discard(root, copy)
            self._trash.purge()
            if isinstance(error, HostError) and "No space left" in str(error):
                raise Exhausted(
                    f"{self._pool.root} has no room for a copy of {source} "
                    f"({self._pool.free(root)} free): delete volumes there"
                ) from error
            raise
        os.rename(copy, handle, src_dir_fd=root, dst_dir_fd=root)

    def _place(self, volume: Volume[LocalOptions]) -> Path:
        with self._pool.opened() as root:
            handle = self._pool.check(root, volume)
            adopted = volume.options.path
            if adopted is None and not _directory.exists(root, handle):
                raise VolumeNotFound(f"the directory of volume {volume.name!r} is gone")
        if adopted is None:
            return self._pool.root / handle
        if not adopted.is_dir():
            raise Unavailable(f"{adopted} is not there: is its disk mounted?")
        return self._adopted(adopted)

    def _adopted(self, path: Path) -> Path:
        keep_out = (self._pool.root, *self.config.keep_out)
        return adoptable(path, below=self.config.adopt_below, keep_out=keep_out)


def _half_made(handle: str) -> str:
    return f".{handle}.copy"
