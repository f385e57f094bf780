"""A host without root: what a machine does to a volume, done to plain files and directories.

A "mounted" tree is the tree itself. A "formatted" disk image begins with one line that holds its
type and UUID, and its files lie in a directory of that UUID. Everything is kept below one
directory, so that a second object sees what the first one did, as after a restart. It keeps
`HostContract` and `DiskContract`; nothing is really read only.
"""

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from volplug import source as sources
from volplug.errors import HostError, VolumeInUse
from volplug.host import Filesystem, Formatted, Freeze, Host, Remember
from volplug.options import Size
from volplug.source import Device, LoopFile, Source
from volplug.volume import Owner

_MARK = b"a fake file system "


class FakeHost(Host):
    """A machine of files below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("records", "mounts", "users", "contents"):
            (directory / name).mkdir(parents=True, exist_ok=True)

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
        """Point the volume at its directory; see Host."""
        record = self._directory / "records" / name
        if record.exists() and self.path(name) is not None:
            if sources.from_json(record.read_text()) != source:
                raise HostError(f"volume '{name}' is staged from another source: unstage it first")
            return
        record.write_text(sources.to_json(source))
        if isinstance(source, Device):
            ready = self._prepared(name, source, filesystem, remember, read_only=read_only)
            shown = self._contents(ready.uuid)
        else:
            ready, shown = replace(filesystem, formatted=Formatted.READY), Path(source.source)
        if ready != filesystem:
            self._own(shown, owner)
            remember(ready)
        (self._directory / "mounts" / name).write_text(str(shown))

    def unstage(self, name: str) -> None:
        """Forget the volume; see Host."""
        if self.users(name):
            raise VolumeInUse(f"volume '{name}' is in use: {self.users(name)} have it mounted")
        self.vanish(name)
        (self._directory / "records" / name).unlink(missing_ok=True)

    def path(self, name: str) -> Path | None:
        """Return the volume's directory while it is mounted; see Host."""
        mount = self._directory / "mounts" / name
        return Path(mount.read_text()) if mount.exists() else None

    def staged(self) -> set[str]:
        """Return the names on record; see Host."""
        return {record.name for record in (self._directory / "records").iterdir()}

    def users(self, name: str) -> int:
        """Count the `with use(name)` blocks that are open; see Host."""
        uses = (self._directory / "users").iterdir()
        return sum(json.loads(use.read_text()) == name for use in uses)

    def grow(self, name: str, size: Size) -> None:
        """Do nothing: what is formatted here has no size; see Host."""

    @contextmanager
    def frozen(self, name: str) -> Iterator[Freeze]:
        """Hold a disk still, which costs nothing here; see Host."""
        record = self._directory / "records" / name
        mounted = self.path(name) is not None
        is_disk = mounted and isinstance(sources.from_json(record.read_text()), Device)
        yield Freeze(held=is_disk, trouble="" if is_disk else "it is no disk that is mounted here")

    @contextmanager
    def use(self, name: str) -> Iterator[None]:
        """Use a volume inside the block, as a container does."""
        use = self._directory / "users" / uuid.uuid4().hex
        use.write_text(json.dumps(name))
        yield
        use.unlink()

    def vanish(self, name: str) -> None:
        """Unmount a volume behind the host's back."""
        (self._directory / "mounts" / name).unlink(missing_ok=True)

    def _prepared(
        self,
        name: str,
        device: Device,
        filesystem: Filesystem,
        remember: Remember,
        *,
        read_only: bool,
    ) -> Filesystem:
        """Bring a disk to READY, or refuse to touch it."""
        image = _image(device)
        found = _look(image)
        started = filesystem
        if filesystem.formatted is Formatted.CLONED:
            return self._renewed(name, image, found, filesystem)
        if filesystem.formatted is Formatted.BLANK and not read_only and self._is_empty(image):
            started = Filesystem(Formatted.STARTED, device.fstype, str(uuid.uuid4()))
            remember(started)
        if started.formatted is Formatted.STARTED and self._is_empty(image):
            _format(image, started)
        elif found != (started.fstype, started.uuid) or not all(found):
            raise HostError(
                f"the disk {image} was left alone: it holds {found}, or may be read only"
            )
        return replace(started, formatted=Formatted.READY)

    def _renewed(
        self, name: str, image: Path, found: tuple[str, str], cloned: Filesystem
    ) -> Filesystem:
        own = replace(
            cloned,
            formatted=Formatted.READY,
            uuid=str(uuid.uuid5(uuid.UUID(cloned.uuid), name)),
        )
        if found == (cloned.fstype, cloned.uuid):
            shutil.copytree(
                self._contents(cloned.uuid), self._contents(own.uuid), dirs_exist_ok=True
            )
            _format(image, own)
        elif found != (own.fstype, own.uuid):
            raise HostError(f"the disk {image} holds {found}, not a copy of {cloned}")
        return own

    def _is_empty(self, image: Path) -> bool:
        """Whether a disk may be formatted."""
        content = image.read_bytes()
        return content.count(0) == len(content)

    def _own(self, directory: Path, owner: Owner) -> None:
        if owner.mode is not None:
            directory.chmod(owner.mode)

    def _contents(self, own_uuid: str) -> Path:
        directory = self._directory / "contents" / own_uuid
        directory.mkdir(exist_ok=True)
        return directory


def _image(device: Device) -> Path:
    if not isinstance(device.identity, LoopFile):
        raise HostError(f"a fake machine has no disk {device.identity}, only images in files")
    size_bytes = device.identity.path.stat().st_size
    if size_bytes < device.size_bytes:
        raise HostError(f"the disk {device.identity.path} is too small: {size_bytes} bytes")
    return device.identity.path


def _look(image: Path) -> tuple[str, str]:
    """Return the type and UUID on a disk."""
    with image.open("rb") as file:
        line = file.readline(200)
    if not line.startswith(_MARK):
        return "", ""
    fstype, _, found = line.removeprefix(_MARK).decode().strip().partition(" ")
    return fstype, found


def _format(image: Path, filesystem: Filesystem) -> None:
    with image.open("r+b") as file:
        file.write(_MARK + f"{filesystem.fstype} {filesystem.uuid}\n".encode())
