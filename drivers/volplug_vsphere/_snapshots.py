"""Snapshots of first class disks, known again by their description.

vCenter numbers them itself and takes two of one description. An order that outlives who gave it may
therefore be given again: the older of the two is kept. While a disk has snapshots its current data
is in another file than the one it was made with, so it is neither copied by path nor enlarged.
"""

from contextlib import suppress
from typing import Any

from volplug.sdk import InvalidOptions, Snapshot, Unsupported
from volplug_vsphere._copies import another
from volplug_vsphere._disks import Disk, Disks
from volplug_vsphere._place import Place
from volplug_vsphere._vim import vim

FATE = "vSphere keeps them in files of the disk, which would go with it"
_PREFIX = "volplug: "


class Snapshots:
    """The snapshots of one vCenter's disks."""

    def __init__(self, content: Any, disks: Disks) -> None:
        self._catalogue, self._disks = content.vStorageObjectManager, disks

    def make(self, disk: Disk, name: str) -> None:
        """Take a snapshot; one of that name is left as it is."""
        if not self._find(disk, name):
            task = self._catalogue.VStorageObjectCreateSnapshot_Task(
                disk.id, disk.datastore, _PREFIX + name
            )
            self._disks.finish(task, f"snapshot {name!r} of {disk.path}")
        for second in self._find(disk, name)[1:]:
            self._remove(disk, second)

    def named(self, disk: Disk) -> list[Snapshot]:
        """List what users named, each once; snapshots that others took are left out."""
        found: dict[str, Snapshot] = {}
        for one in self._all(disk):
            name = one.description.removeprefix(_PREFIX)
            if name != one.description:
                found.setdefault(name, Snapshot(name, one.createTime))
        return list(found.values())

    def delete(self, disk: Disk, name: str) -> None:
        """Delete a snapshot; gone is success."""
        for one in self._find(disk, name):
            self._remove(disk, one)

    def refuse(self, disk: Disk, name: str) -> None:
        """Raise Unsupported if a disk cannot be copied by its path, for it has snapshots."""
        if self._all(disk):
            raise Unsupported(
                f"{name!r} has snapshots, and vSphere would copy what it held before the first:"
                f" make the volume of a snapshot, with clone_of={name}@SNAPSHOT"
            )

    def restore(self, disk: Disk, name: str, source: Place, place: Place) -> None:
        """Make a disk at a place out of a snapshot; one that is there is taken."""
        if self._disks.uuid(place.path) is None:  # what was begun needs its snapshot no more
            found = self._find(disk, name)
            if not found:
                raise InvalidOptions(f"{disk.path} has no snapshot {name!r}: was it deleted?")
            with suppress(vim.fault.FileAlreadyExists, vim.fault.AlreadyExists):
                task = self._catalogue.CreateDiskFromSnapshot_Task(
                    disk.id, disk.datastore, found[0].id, place.stem, path=place.within
                )
                self._disks.finish(task, f"{place.path} to be made of snapshot {name!r}")
        self._disks.register(place)  # waits for one that is still being made
        own = self._disks.uuid(place.path)
        if own is None:
            raise Unsupported(
                f"vCenter did not make the disk at {place.path}: look for a disk named "
                f"{place.stem} and delete it there"
            )
        if own == self._disks.uuid(source.path):
            self._disks.give_uuid(place.path, another(own, place.path))

    def _remove(self, disk: Disk, snapshot: Any) -> None:
        with suppress(vim.fault.NotFound):
            task = self._catalogue.DeleteSnapshot_Task(disk.id, disk.datastore, snapshot.id)
            self._disks.finish(task, f"a snapshot of {disk.path} to be deleted")

    def _find(self, disk: Disk, name: str) -> list[Any]:
        return [one for one in self._all(disk) if one.description == _PREFIX + name]

    def _all(self, disk: Disk) -> list[Any]:
        """Return the snapshots of a disk, the oldest first."""
        info = self._catalogue.RetrieveSnapshotInfo(disk.id, disk.datastore)
        return sorted(info.snapshots, key=lambda one: (one.createTime, one.id.id))
