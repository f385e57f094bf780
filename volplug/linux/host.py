"""This Linux machine: what is mounted here, by whom it is used, and the ways up and down.

A stage that was cut short is undone and done again, never continued, so that there is one way up.
Nothing is held across anything that can block but the volume's own turn: a stuck server costs its
own volume only.
"""

import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volplug.command import on_behalf
from volplug.crashpoint import crashpoint
from volplug.deadline import deadline, remaining, wait_until
from volplug.errors import Busy, HostError, VolumeInUse
from volplug.host import Filesystem, Freeze, Host, Remember
from volplug.linux import disk, freeze, orphans, way_down
from volplug.linux.filesystems import kind_of
from volplug.linux.mountinfo import PROC, MountWatch
from volplug.linux.orphans import Orphans
from volplug.linux.presence import Presence
from volplug.linux.propagation import SharedDirectory
from volplug.linux.pulse import Pulses
from volplug.linux.record import Staged, StagedRecords
from volplug.linux.shutdown import shut_down
from volplug.linux.way_up import WayUp
from volplug.options import Size
from volplug.source import Device, Source
from volplug.volume import Owner

_GROW_S = 30.0
"""How long a disk may take to show the size that its backend gave it."""


class LinuxHost(Host):
    """This machine, for root.

    Volumes are mounted at `mount_dir`/NAME; below `state_dir` it keeps its records. One object at a
    time may be responsible for the two directories.
    """

    def __init__(self, state_dir: Path, mount_dir: Path, *, boot_id: str | None = None) -> None:
        self._mount_dir = mount_dir.resolve()
        self._records = StagedRecords(state_dir / "staged")
        self._boot_id = boot_id or (PROC / "sys/kernel/random/boot_id").read_text().strip()
        self._watch = MountWatch()
        self._presence = Presence(self._mount_dir, self._boot_id, self._watch)
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._pulses = Pulses()
        self._shared = SharedDirectory(self._mount_dir, self._watch)
        self._frozen = state_dir / "frozen"
        self._orphans = Orphans(lambda: orphans.find(self._mount_dir, self._records))
        self._thaw()

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
        """Mount the volume at `mount_dir`/NAME; see Host."""
        attempt = secrets.token_hex(8)
        with self._at_work(name, attempt):
            staged = self._records.get(name)
            if staged is not None and self._is_usable(name, staged):
                _require_same(name, staged, source, read_only=read_only)
                return
            self._clear_away(name, staged, source)
            self._records.put(name, Staged(source, read_only, attempt=attempt))
            crashpoint("stage.recorded")
            way = WayUp(
                name=name,
                directories=self._presence.directories(name),
                filesystem=filesystem,
                remember=remember,
                owner=owner,
                read_only=read_only,
                watch=self._watch,
                boot_id=self._boot_id,
            )
            with self._shared.in_use(), self._watched(name):
                mounted = way.run(source)
            crashpoint("stage.handed")
            self._records.put(name, Staged(source, read_only, mounted))

    def unstage(self, name: str) -> None:
        """Unmount the volume and free its disk; see Host."""
        with self._at_work(name):
            staged = self._records.get(name)
            users = self._presence.users(name, staged)
            if users:
                raise VolumeInUse(
                    f"volume '{name}' is in use here: {users[0]}"
                    + (f", and {len(users) - 1} more" if users[1:] else "")
                )
            self._take_down(name, staged)

    def discard(self, name: str) -> None:
        """Shut the volume's own file system down, then unmount it; see Host.

        A share has none: its server has to refuse what is late.
        """
        with self._turn(name):
            staged = self._records.get(name)
            if (
                staged is not None
                and isinstance(staged.source, Device)
                and self._presence.is_mounted(name, staged)
            ):
                shut_down(self._presence.directories(name).filesystem)
        self.unstage(name)

    def path(self, name: str) -> Path | None:
        """Return `mount_dir`/NAME while the kernel shows the right tree there; see Host.

        Not if the tree was last heard to be broken for good, as after the end of a FUSE daemon,
        and not while a program of an earlier life may yet unmount it.
        """
        directory = self._presence.directories(name).handed_out
        if self._orphans.work_on(name) or self._watch.now().at(directory) is None:
            return None
        try:
            staged = self._records.get(name)
        except HostError:
            return None  # stage and unstage tell what is wrong with the record
        return directory if staged and self._is_usable(name, staged) else None

    def staged(self) -> set[str]:
        """Return the names that have a record; see Host."""
        return self._records.names()

    def users(self, name: str) -> int:
        """Count who else has the volume mounted, by the lists of all namespaces; see Host.

        A further mountpoint in our own namespace, such as a running `docker cp` makes, counts too.
        """
        return len(self._presence.users(name, self._records.get(name)))

    def health(self, name: str) -> str:
        """Return what is wrong with a mount, as last heard from its server; see Host."""
        try:
            staged = self._records.get(name)
        except HostError as error:
            return f"unknown: {error}"
        if self._presence.recorded(staged) is None:
            return ""  # not mounted in this life of the machine, or not yet
        mount = self._watch.now().at(self._presence.directories(name).handed_out)
        if staged and mount and self._presence.is_mounted(name, staged):
            return self._pulses.trouble(name, mount)
        if self._turns[name].locked():
            return ""  # it is on its way up or down
        return (
            "lost: it was mounted here and is not any more; it is mounted again for its next user"
        )

    def _is_usable(self, name: str, staged: Staged) -> bool:
        mount = self._watch.now().at(self._presence.directories(name).handed_out)
        if mount is None or not self._presence.is_mounted(name, staged):
            return False
        return not self._pulses.is_gone(name, mount)

    def grow(self, name: str, size: Size) -> None:
        """Grow the volume's file system; see Host.

        Raises HostError if it is not mounted writable, or its disk does not show the new size.
        """
        with self._at_work(name):
            staged = self._records.get(name)
            if staged is None or staged.read_only or not self._presence.is_mounted(name, staged):
                raise HostError(
                    f"volume '{name}' is not mounted writable on this machine, so its file system "
                    "cannot grow here; it grows when it is mounted next"
                )
            if isinstance(staged.source, Device):
                self._grow(name, staged.source, size)

    @contextmanager
    def frozen(self, name: str) -> Iterator[Freeze]:
        """Hold a disk's file system still in the block; see Host."""
        with self._turn(name):
            staged = self._records.get(name)
            if staged is None or not self._presence.is_mounted(name, staged):
                yield Freeze(trouble="it is not mounted on this machine")
            elif not isinstance(staged.source, Device):
                yield Freeze(trouble="a tree belongs to its server, which nobody here can hold")
            elif staged.read_only:
                yield Freeze(held=True)
            else:
                directory = self._presence.directories(name).filesystem
                with freeze.frozen(directory, self._frozen / name) as still:
                    yield still

    def _thaw(self) -> None:
        """Let go of what an earlier process was killed over, with all that belonged to it."""
        for note in self._frozen.glob("*") if self._frozen.is_dir() else ():
            freeze.thaw(self._presence.directories(note.name).filesystem)
            note.unlink(missing_ok=True)

    def _grow(self, name: str, device: Device, size: Size) -> None:
        with disk.opened(device, read_only=False) as found:

            def is_large() -> bool:
                found.take_new_size(device.identity)
                return found.size_bytes >= size

            with deadline(_GROW_S):
                wait_until(is_large, f"the disk {found.path} to show {size}")
            kind_of(device.fstype).grow(found, self._presence.directories(name).filesystem)

    def _clear_away(self, name: str, staged: Staged | None, source: Source) -> None:
        """Undo what an earlier stage left, and what somebody else mounted in our place."""
        if staged is None or _is_same(staged.source, source):
            way_down.unmount(self._presence.directories(name), self._watch)
            return
        if self._presence.users(name, staged):
            raise VolumeInUse(
                f"volume '{name}' is still used here from {staged.source}, so it cannot be mounted "
                f"from {source}: stop its containers first"
            )
        self._take_down(name, staged)

    def _take_down(self, name: str, staged: Staged | None) -> None:
        """Unmount what nobody uses, free its disk, and forget it last."""
        directories = self._presence.directories(name)
        if staged is None:
            way_down.unmount(directories, self._watch)
            return
        footprint, mounted = self._presence.footprint(name, staged), self._presence.recorded(staged)
        way_down.unmount(directories, self._watch)
        way_down.Remains(staged.source, footprint, mounted).free(directories, self._watch)
        self._pulses.forget(name)
        self._shared.tidy()
        self._records.remove(name)

    @contextmanager
    def _at_work(self, name: str, attempt: str = orphans.NO_ATTEMPT) -> Iterator[None]:
        """Take a volume's turn, once nothing of before is at work on it; have programs marked."""
        word = orphans.mark(self._mount_dir, name, attempt)
        with self._turn(name):
            self._orphans.settle(name)
            with on_behalf(orphans.VARIABLE, word):
                yield

    @contextmanager
    def _watched(self, name: str) -> Iterator[None]:
        """Suspect what fails in the block: a daemon may have left the group of what was killed."""
        try:
            yield
        except BaseException:
            self._orphans.suspect(name)
            raise

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """Let one at a time change a volume; raise Busy if another does not end in time."""
        turn = self._turns[name]
        if not turn.acquire(timeout=min(remaining(), threading.TIMEOUT_MAX)):
            raise Busy(f"another operation on volume '{name}' is still running; try again later")
        try:
            yield
        finally:
            turn.release()


def _require_same(name: str, staged: Staged, source: Source, *, read_only: bool) -> None:
    if not _is_same(staged.source, source):
        raise HostError(
            f"volume '{name}' is mounted here from {staged.source}, not from {source}: unmount it "
            "first"
        )
    if staged.read_only != read_only:
        modes = {True: "read-only", False: "writable"}
        raise HostError(
            f"volume '{name}' is mounted {modes[staged.read_only]} here, not {modes[read_only]}: "
            "unmount it first"
        )


def _is_same(one: Source, other: Source) -> bool:
    """Whether two sources name the same; a disk may have grown since, or have other options."""
    if isinstance(one, Device) and isinstance(other, Device):
        return (one.identity, one.fstype) == (other.identity, other.fstype)
    return one == other
