"""Running without root: volumes that are directories, handed out as they are.

Nothing can be mounted, so nothing is: the source itself is the volume's directory. That serves to
try volplug out, and for engines that run without root as well.
"""

import os
from pathlib import Path

from volplug.errors import HostError, Unsupported, VolumeInUse
from volplug.host import Filesystem, Formatted, Host, Remember
from volplug.linux import footprint as footprints
from volplug.linux import mountinfo
from volplug.linux.footprint import Footprint
from volplug.linux.record import Staged, StagedRecords
from volplug.options import Size
from volplug.source import Share, Source
from volplug.volume import Owner


class DirectoryHost(Host):
    """This machine, for an ordinary user; what needs a mount is refused with Unsupported."""

    def __init__(self, state_dir: Path) -> None:
        self._records = StagedRecords(state_dir / "staged")

    def stage(
        self,
        name: str,
        source: Source,
        *,
        filesystem: Filesystem,
        remember: Remember,
        owner: Owner,
        read_only: bool,
    ) -> None:
        """Take note of a directory of this machine; see Host."""
        directory = _directory(source)
        if read_only:
            raise Unsupported(f"needs root: a read-only mount of {directory}")
        staged = self._records.get(name)
        if staged is not None and staged.source != source:
            raise HostError(
                f"volume '{name}' is in use here from {staged.source}, not from {source}: "
                "unmount it first"
            )
        if filesystem.formatted is not Formatted.READY:
            _own(directory, owner)
            remember(Filesystem(Formatted.READY))
        if staged is None:
            self._records.put(name, Staged(source, read_only))

    def unstage(self, name: str) -> None:
        """Forget the directory; see Host."""
        users = self.users(name)
        if users:
            raise VolumeInUse(f"volume '{name}' is mounted by {users} others on this machine")
        self._records.remove(name)

    def path(self, name: str) -> Path | None:
        """Return the source directory while it is there; see Host."""
        staged = self._records.get(name)
        if staged is None or not isinstance(staged.source, Share):
            return None
        directory = Path(staged.source.source)
        return directory if directory.is_dir() else None

    def staged(self) -> set[str]:
        """Return the names that have a record; see Host."""
        return self._records.names()

    def users(self, name: str) -> int:
        """Count the other namespaces that have it mounted, of those we may look at; see Host."""
        directory = self.path(name)
        if directory is None:
            return 0
        own = mountinfo.read()
        device, root = own.shown(directory)
        around = own.containing(directory)
        footprint = Footprint(device, root, around.fstype, around.source)
        place = own.place_of(around)
        return len(footprints.users(footprint, own, [place] if place else []))

    def grow(self, name: str, size: Size) -> None:
        """Do nothing: a directory has no size of its own; see Host."""


def _directory(source: Source) -> Path:
    if not isinstance(source, Share) or source.fstype != "bind":
        raise Unsupported(
            f"needs root: only root can mount {source}; run volplug as root, or use a backend of "
            "plain directories"
        )
    directory = Path(source.source)
    if not directory.is_absolute() or not directory.is_dir():
        raise HostError(f"{source.source!r} is not a directory of this machine")
    return directory


def _own(directory: Path, owner: Owner) -> None:
    """Give the directory its mode; an owner other than ourselves cannot be given."""
    if owner.uid not in (None, os.geteuid()) or owner.gid not in (None, os.getegid()):
        raise Unsupported(
            f"needs root: giving {directory} to {owner.uid}:{owner.gid}; leave uid and gid out"
        )
    if owner.mode is not None:
        try:
            directory.chmod(owner.mode)
        except OSError as error:
            raise HostError(f"the mode of {directory} cannot be set: {error.strerror}") from error
