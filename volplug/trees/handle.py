"""What a share calls a volume: the name of a directory made for it, or the path of one adopted.

A handle comes back from a database years later, so it is checked anew at each use: a driver that
trusted a path in a stored id could be made to delete outside its tree (CVE-2026-3864).
"""

import hashlib
import re

from volplug.errors import InvalidOptions
from volplug.trees.tree import inside

OURS = ".volplug"
"""The directory of a share that holds what volplug must know."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}-[0-9a-f]{12}", re.ASCII)
_ADOPTED = "path:"


def made_of(name: str) -> str:
    """Make a directory's name of a volume's: readable, unlike any other, and harmless."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40]
    if not readable[:1].isalnum():
        readable = f"x{readable[1:]}"
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def of_adopted(path: str) -> str:
    """Return the handle of a directory that was there before."""
    return _ADOPTED + path


def is_adopted(handle: str) -> bool:
    """Say whether the directory was there before, so that it is never removed."""
    return handle.startswith(_ADOPTED)


def path(handle: str) -> str:
    """Return where the data is, relative to the share; raise InvalidOptions if it is no handle."""
    if is_adopted(handle):
        return adoptable(handle.removeprefix(_ADOPTED))
    if not _ID.fullmatch(handle):
        raise InvalidOptions(f"{handle[:60]!r} is not the handle of a volume on a share")
    return f"v/{handle}"


def adoptable(path: str) -> str:
    """Return a path that may be adopted; raise InvalidOptions for any other."""
    try:
        inside(path)
    except OSError as error:
        raise InvalidOptions(
            f"path={path[:80]!r} is not allowed: wanted a directory inside the share, such as "
            "'projects/web', without '..' and without a leading slash"
        ) from error
    if path.split("/", maxsplit=1)[0] in (".", "v", OURS):
        raise InvalidOptions(
            f"path={path[:80]!r} is not allowed: the top of the share, 'v' and '{OURS}' are "
            "volplug's own; name another directory"
        )
    return path
