"""What is to be seen of a volume on this machine, and who besides us has it.

Asked of the kernel each time, with the record as a hint of what to look for. Nothing here touches
what is mounted, so nothing here can hang.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from volplug.linux import footprint as footprints
from volplug.linux import sysfs
from volplug.linux.footprint import Footprint, User
from volplug.linux.mountinfo import MountWatch, Place
from volplug.linux.record import Mounted, Staged
from volplug.source import Device, Share


@dataclass(frozen=True, slots=True)
class Directories:
    """A volume's two mountpoints: what users get, and where its disk's file system is."""

    handed_out: Path
    filesystem: Path


class Presence:
    """The volumes below one directory, in this life of the machine."""

    def __init__(self, mount_dir: Path, boot_id: str, watch: MountWatch) -> None:
        self._mount_dir = mount_dir
        self._boot_id = boot_id
        self._watch = watch

    def directories(self, name: str) -> Directories:
        """Return where a volume is mounted, or would be; no volume's name starts with a dot."""
        return Directories(self._mount_dir / name, self._mount_dir / ".devices" / name)

    def is_mounted(self, name: str, staged: Staged) -> bool:
        """Whether the kernel shows, where the volume belongs, what its record says."""
        mount = self._watch.now().at(self.directories(name).handed_out)
        recorded = self.recorded(staged)
        return mount is not None and recorded is not None and recorded.footprint.matches(mount)

    def recorded(self, staged: Staged | None) -> Mounted | None:
        """Return what is on record as mounted, if its device numbers still mean what they meant."""
        mounted = staged.mounted if staged else None
        if mounted is None or mounted.boot_id != self._boot_id:
            return None
        if mounted.disk and sysfs.sequence(mounted.disk) != mounted.disk_sequence:
            return None
        return mounted

    def footprint(self, name: str, staged: Staged | None) -> Footprint | None:
        """Return what to look for: as recorded, else as mounted; of a disk, the whole of it."""
        own, directories = self._watch.now(), self.directories(name)
        aside = own.at(directories.filesystem)
        seen = aside or own.at(directories.handed_out)
        recorded = self.recorded(staged)
        found = recorded.footprint if recorded else Footprint.of(seen) if seen else None
        is_disk = aside is not None or (staged is not None and isinstance(staged.source, Device))
        return replace(found, root="/") if found and is_disk else found

    def users(self, name: str, staged: Staged | None) -> list[User]:
        """List who else has the volume mounted."""
        footprint = self.footprint(name, staged)
        if footprint is None:
            return []
        return footprints.users(footprint, self._watch.now(), self._places(name, staged))

    def _places(self, name: str, staged: Staged | None) -> list[Place]:
        """List the directories on which the volume is mounted without being used.

        Our two, and the one where an adopted directory is a mountpoint by itself.
        """
        own, directories = self._watch.now(), self.directories(name)
        places = [own.under(directories.handed_out), own.under(directories.filesystem)]
        if staged and isinstance(staged.source, Share) and staged.source.fstype == "bind":
            place = own.place_of(own.containing(Path(staged.source.source)))
            places += [place] if place else []
        return places
