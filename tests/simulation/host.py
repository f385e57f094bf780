"""What volplug sees of its simulated machine: volumes that are mounted, and programs that mount."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.machine import DRAIN_S, Machine, Mount
from tests.simulation.network import Call
from tests.simulation.threads import sleep
from tests.simulation.timeline import current
from volplug.errors import HostError, VolumeInUse
from volplug.host import Filesystem, Formatted, Host, Remember
from volplug.linux.orphans import Orphans
from volplug.options import Size
from volplug.source import Share, Source
from volplug.volume import AccessMode, Owner


@dataclass(frozen=True, eq=False)
class MountProgram:
    """A child that mounts, as production's orphans.Program."""

    machine: Machine
    mount: Mount

    @property
    def volume(self) -> str:
        """The volume's name."""
        return self.mount.volume

    @property
    def words(self) -> str:
        """What it is, for people."""
        return "mount"

    def kill(self) -> None:
        """Begin its end."""
        self.machine.kill_mounting(self.mount)


class SimulatedHost(Host):
    """What volplug sees of its machine; as there, what an earlier life left is ended first."""

    def __init__(self, machine: Machine, granted: Callable[[str], tuple[int, AccessMode]]) -> None:
        """`granted` tells under which token and mode this process mounts a volume."""
        self._machine = machine
        self._granted = granted
        self._orphans = Orphans(lambda: _programs(machine))

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
        """Mount it; that takes a while, and happens even if whoever asked is killed meanwhile."""
        del owner, read_only
        self._orphans.settle(name)
        present = self._machine.mounts.get(name)
        if present is not None:
            if present.source != source:
                raise HostError(f"volume '{name}' is staged from another source: unstage it first")
            return
        if filesystem.formatted is not Formatted.READY:
            remember(Filesystem(Formatted.READY))
        assert isinstance(source, Share)
        token, access = self._granted(name)
        handle = source.source.removeprefix("storage:/")
        mount = Mount(name, source, handle, token, access)
        call = Call(current())
        self._machine.start_mounting(mount, call)
        call.wait(None)
        if not call.answer:
            raise HostError(f"mounting volume '{name}' was broken off")

    def unstage(self, name: str) -> None:
        """Unmount it; see Host."""
        self._orphans.settle(name)
        mount = self._machine.mounts.get(name)
        if mount is None:
            return
        self._refuse_used(mount)
        self._flush(mount)
        self._let_go(name, mount)

    def discard(self, name: str) -> None:
        """Unmount it without writing what is left to write; see Host."""
        self._orphans.settle(name)
        mount = self._machine.mounts.get(name)
        if mount is None:
            return
        self._machine.stop(mount)
        self._refuse_used(mount)
        self._settle(mount)
        self._let_go(name, mount)

    def _let_go(self, name: str, mount: Mount) -> None:
        current().process.check_alive()
        self._refuse_used(mount)
        mount.gone = True
        if self._machine.mounts.get(name) is mount:
            del self._machine.mounts[name]

    def _flush(self, mount: Mount) -> None:
        """Write what is left to write, and wait until all of it is on the disk."""
        self._machine.write(mount, DRAIN_S * self._machine.world.random.random())
        self._settle(mount)

    def _settle(self, mount: Mount) -> None:
        """Wait, as a kernel's unmount does, until no write is under way any more."""
        world = self._machine.world
        sleep(world.random.uniform(0.005, 0.1))
        while mount.settled_s >= world.timeline.now_s:
            sleep(0.05)

    def path(self, name: str) -> Path | None:
        """Return its directory while it is mounted; see Host."""
        if self._orphans.work_on(name):
            return None
        return Path("/mounts", name) if name in self._machine.mounts else None

    def staged(self) -> set[str]:
        """Return the names of what is mounted; see Host."""
        return set(self._machine.mounts)

    def users(self, name: str) -> int:
        """Count the containers that have it; see Host."""
        mount = self._machine.mounts.get(name)
        return len(mount.containers) if mount else 0

    def grow(self, name: str, size: Size) -> None:
        """Do nothing: what is kept here has no size; see Host."""

    def _refuse_used(self, mount: Mount) -> None:
        if mount.containers:
            raise VolumeInUse(f"volume '{mount.volume}' is in use by {len(mount.containers)}")


def _programs(machine: Machine) -> list[MountProgram]:
    """List the children that mount."""
    return [MountProgram(machine, mount) for mount in machine.mounting]
