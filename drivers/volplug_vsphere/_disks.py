"""Files of disks on a datastore, and the first class disks that vCenter makes of them.

A plain disk is destroyed together with whatever machine it is attached to; a first class one with
`keepAfterDeleteVm` is not. So each file is registered as one, and the flag is set at once.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from volplug.sdk import (
    Size,
    Unavailable,
    VolumeNotFound,
    wait_until,
)
from volplug_vsphere import _reading
from volplug_vsphere._place import Place
from volplug_vsphere._settings import VsphereConfig
from volplug_vsphere._vim import vim, vmodl

MIB = 2**20
_FLAGS = ["keepAfterDeleteVm", "disableRelocation"]


@dataclass(frozen=True)
class Disk:
    """A first class disk as vCenter tells of it."""

    id: Any
    datastore: Any
    path: str
    size: Size


class Disks:
    """All disks of one datacenter."""

    def __init__(self, content: Any, config: VsphereConfig) -> None:
        self._content = content
        self._config = config
        self._datacenter = content.searchIndex.FindByInventoryPath(config.datacenter)
        if self._datacenter is None:
            raise Unavailable(f"{config.server} has no datacenter {config.datacenter!r}")
        self._files = content.virtualDiskManager
        self._catalogue = content.vStorageObjectManager

    def datastore(self, name: str) -> Any:
        """Return the datastore of that name; Unavailable if there is none."""
        for _, read in _reading.properties(
            self._content, [self._datacenter], vim.Datacenter, "datastore"
        ):
            stores = read.get("datastore", [])
            for store, fields in _reading.properties(self._content, stores, vim.Datastore, "name"):
                if fields["name"] == name:
                    return store
        raise Unavailable(
            f"datacenter {self._config.datacenter!r} of {self._config.server} has no datastore "
            f"{name!r}: was it renamed or removed?"
        )

    def find(self, disk_id: str, place: Place) -> Disk | None:
        """Return the disk of that id, or None if vCenter has none on that datastore."""
        store = self.datastore(place.datastore)
        try:
            found = self._catalogue.RetrieveVStorageObject(vim.vslm.ID(id=disk_id), store)
        except vim.fault.NotFound:
            return None
        config = found.config
        size = Size(config.capacityInMB * MIB)
        return Disk(config.id, store, config.backing.filePath, size)

    def get(self, disk_id: str, place: Place) -> Disk:
        """Return the disk of that id; VolumeNotFound if there is none."""
        disk = self.find(disk_id, place)
        if disk is None:
            raise VolumeNotFound(f"{self._config.server} has no disk {disk_id} at {place.path}")
        return disk

    def make(self, place: Place, size_mib: int, disk_type: str) -> None:
        """Make the file; one that is there already is left alone."""
        self.datastore(place.datastore)
        with suppress(vim.fault.FileAlreadyExists):
            folder = f"[{place.datastore}] {place.folder}"
            self._content.fileManager.MakeDirectory(folder, self._datacenter, True)
        spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
            capacityKb=size_mib * 1024, diskType=disk_type, adapterType="lsiLogic"
        )
        with suppress(vim.fault.FileAlreadyExists):
            task = self._files.CreateVirtualDisk_Task(place.path, self._datacenter, spec)
            self.finish(task, place.path)

    def register(self, place: Place) -> tuple[Disk, bool]:
        """Return the first class disk of a file, and whether it is one only since now.

        A file that is still being made is waited for.
        """
        found: list[tuple[str, bool]] = []

        def unlocked() -> bool:
            try:
                made = self._catalogue.RegisterDisk(self._address(place), place.stem)
                found.append((made.config.id.id, True))
            except vim.fault.AlreadyExists as error:
                found.append((error.name, False))
            except vim.fault.FileLocked:
                return False
            return True

        wait_until(unlocked, f"{place.path}, which is still being made", poll_s=_reading.POLL_S)
        disk_id, fresh = found[0]
        disk = self.get(disk_id, place)
        # Repeated, for a crash may have come between the two.
        self._catalogue.SetVStorageObjectControlFlags(disk.id, disk.datastore, _FLAGS)
        return disk, fresh

    def uuid(self, path: str) -> str | None:
        """Return the UUID in a disk's file, spelt as ESXi spells it, or None without a file."""
        try:
            return str(self._files.QueryVirtualDiskUuid(path, self._datacenter))
        except vim.fault.FileNotFound:
            return None

    def copy(self, path: str, to: str) -> Any:
        """Begin to copy a file, and return the task; FileAlreadyExists comes out of that."""
        center = self._datacenter
        return self._files.CopyVirtualDisk_Task(path, center, to, center, None, False)

    def rename(self, path: str, to: str) -> None:
        """Give a file another name; never that of a file that is there."""
        center = self._datacenter
        task = self._files.MoveVirtualDisk_Task(path, center, to, center, False, None)
        self.finish(task, to)

    def give_uuid(self, path: str, uuid: str) -> None:
        """Write another UUID into a disk's file."""
        self._files.SetVirtualDiskUuid(path, self._datacenter, uuid)

    def remove_file(self, path: str) -> bool:
        """Delete a plain file, and say whether it is gone: it is not while somebody has it open."""
        try:
            self.finish(self._files.DeleteVirtualDisk_Task(path, self._datacenter), path)
        except vim.fault.FileLocked:
            return False
        except vim.fault.FileNotFound:
            pass
        return True

    def finish(self, task: Any, awaited: str) -> None:
        """Wait for the end of a task; raise the fault that it failed with."""
        _reading.finish(self._content, task, awaited)

    def grow(self, disk_id: str, place: Place, size: int) -> None:
        """Make a disk at least that many bytes large, in whole MiB. Already as large is success."""
        disk = self.get(disk_id, place)
        if disk.size >= size:
            return
        try:
            task = self._catalogue.ExtendDisk_Task(disk.id, disk.datastore, -(-size // MIB))
            self.finish(task, f"{place.path} to grow")
        except vmodl.fault.InvalidArgument:
            # An earlier call, whose process died, was still at it, and is done now.
            if self.get(disk_id, place).size < size:
                raise

    def delete(self, disk: Disk) -> None:
        """Delete a disk that no machine has. Already gone is success."""
        with suppress(vim.fault.NotFound):
            task = self._catalogue.DeleteVStorageObject_Task(disk.id, disk.datastore)
            self.finish(task, "a disk to be deleted")

    def _address(self, place: Place) -> str:
        within = quote(f"{place.folder}/{place.stem}.vmdk")
        center, store = quote(self._config.datacenter), quote(place.datastore)
        return f"https://{self._config.server}/folder/{within}?dcPath={center}&dsName={store}"
