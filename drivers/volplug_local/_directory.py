"""Directories as volumes: made by one process only, and never taken for one through a link."""

import os
import stat

from volplug.sdk import HostError


def exists(root: int, entry: str) -> bool:
    """Say whether an entry is there; HostError if it is something else than a directory."""
    try:
        found = os.stat(entry, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        raise HostError(f"{entry} is in the way among the volumes: it is not a directory")
    return True


def claim(root: int, entry: str) -> None:
    """Make a directory that containers' users may enter. Already made is success."""
    try:
        os.mkdir(entry, dir_fd=root)
    except FileExistsError:
        return  # another thread or process was faster
    os.chmod(entry, 0o755, dir_fd=root)  # noqa: S103  as mkdir(1) does, whatever our umask is
