"""From a source to a directory: attach, make fit, mount, hand out.

A disk's file system is mounted aside, and its directory `data` is what users get: Docker copies
an image's files only into an empty directory, and `lost+found` would spoil that (docker-contract
rule 25).
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from volplug.crashpoint import crashpoint
from volplug.errors import HostError
from volplug.host import Filesystem, Formatted, Remember
from volplug.linux import disk, mount_options, mounting, mountpoint, owner, unmounting
from volplug.linux.disk import Disk
from volplug.linux.filesystems import Kind, kind_of
from volplug.linux.footprint import Footprint
from volplug.linux.format import Preparation
from volplug.linux.mountinfo import MountWatch
from volplug.linux.presence import Directories
from volplug.linux.record import Mounted
from volplug.source import Device, Share, Source
from volplug.volume import Owner

DATA = "data"


@dataclass(frozen=True, slots=True)
class WayUp:
    """One volume on its way; nothing of it is mounted when `run` begins."""

    name: str
    directories: Directories
    filesystem: Filesystem
    remember: Remember
    owner: Owner
    read_only: bool
    watch: MountWatch
    boot_id: str

    def run(self, source: Source) -> Mounted:
        """Mount the source, and return what to recognise it by."""
        mountpoint.make(self.directories.handed_out)
        if isinstance(source, Share):
            return self._share(source)
        with disk.opened(source, read_only=self.read_only) as found:
            crashpoint("stage.attached")
            return self._disk(source, found)

    def _share(self, share: Share) -> Mounted:
        target = self.directories.handed_out
        first = self.filesystem.formatted is not Formatted.READY
        if first and self.read_only and self.owner != Owner():
            mounting.mount_share(share, target, read_only=False, watch=self.watch)
            owner.apply(self.owner, target)
            unmounting.unmount_share(target, self.watch)
        mount = mounting.mount_share(share, target, read_only=self.read_only, watch=self.watch)
        crashpoint("stage.mounted")
        if first:
            if not self.read_only:
                owner.apply(self.owner, target)
            self.remember(replace(self.filesystem, formatted=Formatted.READY))
            crashpoint("stage.ready")
        return Mounted(Footprint.of(mount), self.boot_id)

    def _disk(self, device: Device, found: Disk) -> Mounted:
        kind, aside = kind_of(device.fstype), self.directories.filesystem
        text = mount_options.options(
            device.mount_options,
            *kind.mount_options,
            *(kind.clone_options if self.filesystem.formatted is Formatted.CLONED else ()),
            read_only=self.read_only,
        )
        mountpoint.make(aside)
        ready = self._prepared(kind, found)
        mounting.mount_disk(found.path, kind.name, aside, text, self.watch)
        crashpoint("stage.mounted")
        if not self.read_only:
            kind.grow_on_mount(found, aside)
        if ready != self.filesystem:
            self._make_data(aside / DATA)
            self.remember(ready)
            crashpoint("stage.ready")
        _require_directory(aside / DATA)
        target = self.directories.handed_out
        mount = mounting.bind(aside / DATA, target, [], read_only=self.read_only, watch=self.watch)
        return Mounted(Footprint.of(mount), self.boot_id, found.number, found.sequence)

    def _prepared(self, kind: Kind, found: Disk) -> Filesystem:
        return Preparation(
            name=self.name,
            disk=found,
            kind=kind,
            filesystem=self.filesystem,
            remember=self.remember,
            read_only=self.read_only,
            scratch=self.directories.filesystem,
            watch=self.watch,
        ).run()

    def _make_data(self, data: Path) -> None:
        """Make the directory for users if it is not there, with its owner, on the disk."""
        try:
            data.mkdir()
            data.chmod(0o755)
        except FileExistsError:
            _require_directory(data)
        owner.apply(self.owner, data)
        for directory in (data, data.parent):
            _sync(directory)


def _require_directory(data: Path) -> None:
    if data.is_symlink() or not data.is_dir():
        raise HostError(
            f"the file system at {data.parent} has no directory `{DATA}`, which is what users "
            "get: it was not made by volplug, or somebody removed it; put it back"
        )


def _sync(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
