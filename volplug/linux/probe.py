"""What lies on a disk: the question before mkfs, which destroys.

blkid cannot tell an empty disk from an unreadable one: it answers 2 for both, and for random data
as well (backends-block 1.7). So "nothing found" never counts as "empty": the bytes are read too.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from volplug.command import run
from volplug.deadline import deadline, wait_until
from volplug.errors import HostError
from volplug.linux.disk import Disk

_MIB = 1024 * 1024
_CLAIM_S = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """What blkid recognised; empty where it recognised nothing."""

    fstype: str = ""
    uuid: str = ""
    words: str = ""

    def __str__(self) -> str:
        return self.words or "nothing that blkid knows"


def look(disk: Disk) -> Found:
    """Return what blkid reads on the disk itself, without its cache."""
    result = run(["blkid", "-p", "-o", "export", disk.path], expect=(0, 2, 8))
    if result.code == 8:
        return Found(words="several file systems at once")
    pairs = dict(line.partition("=")[::2] for line in result.stdout.splitlines())
    pairs.pop("DEVNAME", None)
    words = " ".join(f"{key}={pairs[key]}" for key in ("TYPE", "PTTYPE", "UUID") if key in pairs)
    return Found(pairs.get("TYPE", ""), pairs.get("UUID", ""), words or " ".join(pairs))


def is_zero(disk: Disk) -> bool:
    """Whether the first 4 MiB, 1 MiB in the middle and the last 1 MiB are there and all zero.

    Raises HostError if any of it cannot be read: an unreadable disk is not an empty one.
    """
    size = disk.size_bytes
    regions = ((0, 4 * _MIB), (max(0, size // 2), _MIB), (max(0, size - _MIB), _MIB))
    return all(_is_zero(disk, offset, min(length, size - offset)) for offset, length in regions)


@contextmanager
def claimed(disk: Disk) -> Iterator[None]:
    """Hold the disk exclusively inside the block: not mounted, not part of anything.

    Raises DeadlineExceeded if somebody else has it, be it a mkfs that outlived its parent.
    """
    files: list[int] = []

    def claim() -> bool:
        file = try_claim(disk)
        files.extend([] if file is None else [file])
        return bool(files)

    with deadline(_CLAIM_S):
        wait_until(claim, f"the disk {disk.path}, which is mounted or in use by another program")
    try:
        yield
    finally:
        os.close(files[0])


def try_claim(disk: Disk) -> int | None:
    """Return an exclusively open file of the disk, or None if it is mounted or in use."""
    try:
        file = os.open(disk.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return None
        raise HostError(f"the disk {disk.path} cannot be opened: {error.strerror}") from error
    if os.fstat(file).st_rdev != os.fstat(disk.file).st_rdev:
        os.close(file)
        raise HostError(f"{disk.path} became another disk meanwhile: nothing was touched")
    return file


def is_free(disk: Disk) -> bool:
    """Whether nothing has the disk mounted or claimed now."""
    file = try_claim(disk)
    if file is not None:
        os.close(file)
    return file is not None


def _is_zero(disk: Disk, offset: int, length: int) -> bool:
    try:
        content = os.pread(disk.file, length, offset)
    except OSError as error:
        raise HostError(
            f"the disk {disk.path} cannot be read at {offset}: {error.strerror}; it was not "
            "formatted, for it may hold data"
        ) from error
    if len(content) != length:
        raise HostError(
            f"the disk {disk.path} gave {len(content)} of {length} bytes at {offset}; it was not "
            "formatted, for it may hold data"
        )
    return content.count(0) == length
