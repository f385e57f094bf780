"""Whether the kernel still has a network file system that is mounted nowhere.

After a lazy unmount, or while writes are pending, it lives on out of sight of mountinfo, and writes
once its server answers again: into a volume that may be another node's by then. NFS and FUSE each
list what they have, by the device number that mountinfo showed.
"""

from pathlib import Path

from volplug.linux import fuse

_NFS_VOLUMES = Path("/proc/fs/nfsfs/volumes")


def lives(device: str) -> bool:
    """Say whether the file system with that `major:minor` is there, mounted or not.

    Of kinds other than NFS and FUSE nothing is known, so the answer is no.
    """
    return device in _nfs_devices() or fuse.connection(device).exists()


def _nfs_devices() -> set[str]:
    """Read the fourth column; the table is not there before the first NFS mount."""
    try:
        lines = _NFS_VOLUMES.read_text().splitlines()[1:]
    except OSError:
        return set()
    return {line.split()[3] for line in lines}
