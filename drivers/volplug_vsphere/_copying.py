"""Snapshots of volumes' disks, and disks with other ones' data: the driver's verbs for both."""

from typing import Any

from volplug.sdk import InvalidOptions, Size, Snapshot, Volume
from volplug_vsphere import _place
from volplug_vsphere._copies import Copies
from volplug_vsphere._disks import Disk, Disks
from volplug_vsphere._place import Place
from volplug_vsphere._session import Session
from volplug_vsphere._settings import VsphereConfig, VsphereOptions, checked_size
from volplug_vsphere._snapshots import Snapshots


class Copying:
    """What is kept and copied at one vCenter."""

    def __init__(self, session: Session, config: VsphereConfig) -> None:
        self._session, self._config = session, config
        self._copies = Copies()

    def snapshot(self, volume: Volume[Any], name: str) -> None:
        """Take a snapshot of a volume's disk."""
        disk_id, place = _place.read(volume)

        def verb(content: Any) -> None:
            disks = Disks(content, self._config)
            Snapshots(content, disks).make(disks.get(disk_id, place), name)

        self._session.steadily(verb)

    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        """List a volume's snapshots; none if its disk is gone."""
        disk_id, place = _place.read(volume)

        def verb(content: Any) -> list[Snapshot]:
            disks = Disks(content, self._config)
            disk = disks.find(disk_id, place)
            return Snapshots(content, disks).named(disk) if disk else []

        return self._session.steadily(verb)

    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Delete a snapshot; gone is success."""
        disk_id, place = _place.read(volume)

        def verb(content: Any) -> None:
            disks = Disks(content, self._config)
            if disk := disks.find(disk_id, place):
                Snapshots(content, disks).delete(disk, name)

        self._session.steadily(verb)

    def clone(self, origin: Volume[Any], name: str, options: VsphereOptions) -> str:
        """Copy a disk as it is now, and return the handle of the copy."""
        _refuse_fstype(origin, options)
        origin_id, source = _place.read(origin)
        place = Place.of(self._config.datastore, self._config.folder, name)

        def verb(content: Any) -> str:
            disks = Disks(content, self._config)
            present = disks.get(origin_id, source)
            size = _size(options, origin, present)
            if disks.uuid(place.path) is None:
                Snapshots(content, disks).refuse(present, origin.name)
                self._copies.make(disks, source, place)
            return _registered(disks, place, size)

        return self._session.steadily(verb)

    def restore(
        self, origin: Volume[Any], snapshot: str, name: str, options: VsphereOptions
    ) -> str:
        """Make a disk of a snapshot, and return its handle."""
        _refuse_fstype(origin, options)
        origin_id, source = _place.read(origin)
        place = Place.of(source.datastore, source.folder, name)

        def verb(content: Any) -> str:
            disks = Disks(content, self._config)
            present = disks.get(origin_id, source)
            size = _size(options, origin, present)
            Snapshots(content, disks).restore(present, snapshot, source, place)
            return _registered(disks, place, size)

        return self._session.steadily(verb)


def _refuse_fstype(origin: Volume[Any], options: VsphereOptions) -> None:
    if options.fstype != origin.options.fstype:
        raise InvalidOptions(f"a clone of {origin.name!r} has fstype={origin.options.fstype}")


def _size(options: VsphereOptions, origin: Volume[Any], present: Disk) -> Size:
    """Return how large a copy is to be; InvalidOptions if that is less than its origin is."""
    wanted = options.size
    size = present.size if wanted is None else checked_size(wanted, options.fstype)
    if size < present.size:
        raise InvalidOptions(f"size={size} is too small: {origin.name!r} is {present.size}")
    return size


def _registered(disks: Disks, place: Place, size: Size) -> str:
    """Return the handle of a copy that was made, as large as it was to be."""
    disk, _ = disks.register(place)
    disks.grow(disk.id.id, place, size)
    return place.handle(disk.id.id)
