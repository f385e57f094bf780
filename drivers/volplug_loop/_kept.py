"""Snapshots: images that share blocks with a volume's, in a hidden directory beside it.

One is made without a name and named last, as every image is, so that it is whole or not there.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from volplug.sdk import InvalidOptions, Snapshot
from volplug_loop import _image

FATE = "they would go with its image"
_GONE = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)


def take(root: int, handle: str, name: str, place: Path) -> None:
    """Keep what an image holds now; one of that name is left as it is."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(_directory(handle), 0o700, dir_fd=root)
    try:
        with _opened(root, handle) as kept, _image.opened(root, handle) as blocks:
            if _image.size_bytes(kept, _checked(name)) is None:
                with _image.nameless(kept) as image:
                    _image.share(blocks, image, place)
                    os.fsync(image)
                    _image.name(kept, image, name)
                os.fsync(kept)
    finally:
        remove(root, handle)  # nothing of it, but the directory if that is empty
    os.fsync(root)


def listed(root: int, handle: str) -> list[Snapshot]:
    """List what is kept of an image."""
    with contextlib.suppress(FileNotFoundError), _opened(root, handle) as kept:
        return [
            Snapshot(name, datetime.fromtimestamp(os.stat(name, dir_fd=kept).st_mtime, UTC))
            for name in _names(kept)
        ]
    return []


@contextlib.contextmanager
def opened(root: int, handle: str, name: str) -> Iterator[int]:
    """Give the block a snapshot's image; raise InvalidOptions if there is none."""
    try:
        kept = os.open(_directory(handle), os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
        try:
            image = os.open(_checked(name), os.O_RDONLY | os.O_NOFOLLOW, dir_fd=kept)
        finally:
            os.close(kept)
    except FileNotFoundError as error:
        raise InvalidOptions(
            f"there is no snapshot {name!r} of {handle}: `volplug snapshot ls` lists what there is"
        ) from error
    try:
        yield image
    finally:
        os.close(image)


def remove(root: int, handle: str, *names: str) -> None:
    """Delete snapshots, and their directory if none is left. Gone is success."""
    with contextlib.suppress(FileNotFoundError), _opened(root, handle) as kept:
        for name in names:
            _image.remove(kept, _checked(name))
        os.fsync(kept)
    try:
        os.rmdir(_directory(handle), dir_fd=root)
    except OSError as error:
        if error.errno not in _GONE:
            raise


@contextlib.contextmanager
def _opened(root: int, handle: str) -> Iterator[int]:
    kept = os.open(_directory(handle), os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    try:
        yield kept
    finally:
        os.close(kept)


def _names(kept: int) -> list[str]:
    return os.listdir(kept)


def _directory(handle: str) -> str:
    return f".kept-{handle}"


def _checked(name: str) -> str:
    """Return a name that leads nowhere else."""
    if "/" in name or "\0" in name or name.startswith("."):
        raise InvalidOptions(f"{name!r} is no name for a snapshot")
    return name
