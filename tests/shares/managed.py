"""Volumes of the managed Gluster driver, and how a host mounts them."""

from pathlib import Path

from tests.machine import need_program
from volplug.options import parse
from volplug.sdk import AccessMode, Share, Volume
from volplug_glusterfs import ManagedGlusterDriver, ManagedGlusterOptions

AnyVolume = Volume[ManagedGlusterOptions]


def made(driver: ManagedGlusterDriver, name: str, **options: object) -> AnyVolume:
    """Create a volume."""
    read = parse(ManagedGlusterOptions, options, what="test")
    handle = driver.create(name, read)
    return Volume(name, "gluster", handle, AccessMode.SINGLE_WRITER, read)


def mount_command(share: Share, place: Path) -> list[str]:
    """Return the command that mounts a share as the host does."""
    helper = str(need_program("mount.glusterfs", "glusterfs-client"))
    return [helper, share.source, str(place), "-o", ",".join(share.mount_options)]


def mounted(place: Path) -> bool:
    """Say whether the kernel has something of Gluster's mounted there."""
    return f" {place} fuse.glusterfs" in Path("/proc/self/mounts").read_text()
