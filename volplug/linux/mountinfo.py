"""The kernel's own list of mounts, read without touching what is mounted.

`os.path.ismount` and even `lstat` hang on a dead network mount; /proc/self/mountinfo never does
(backends-file 1.2). A mount is told from its copies by the directory it sits on, not by its path:
the same mount shows under other paths in other namespaces, but on the same directory of the same
file system.
"""

import os
import re
import select
import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

PROC = Path("/proc")

Place: TypeAlias = tuple[str, str]
"""A directory by the device number of its file system and its path therein."""

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo; `device` is `major:minor`, `tags` are the propagation fields.

    `options` are those of the mount, `super_options` those of the whole file system.
    """

    number: int
    parent: int
    device: str
    root: str
    mountpoint: str
    options: tuple[str, ...]
    tags: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether mounts made below it show in other namespaces."""
        return any(tag.startswith("shared:") for tag in self.tags)


class Mounts:
    """All mounts of one namespace, in the kernel's order."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self._mounts = tuple(mounts)

    def __iter__(self) -> Iterator[Mount]:
        return iter(self._mounts)

    def at(self, mountpoint: Path) -> Mount | None:
        """Return what is mounted exactly there, the topmost where several lie upon each other."""
        return self._topmost.get(str(mountpoint))

    def containing(self, path: Path) -> Mount:
        """Return the mount that an absolute path without symbolic links lies in."""
        for place in (path, *path.parents):
            found = self.at(place)
            if found is not None:
                return found
        raise LookupError(f"{path} lies in no mount of this namespace")

    def shown(self, path: Path) -> Place:
        """Return which directory of which file system is seen at a path."""
        return _inside(self.containing(path), str(path))

    def under(self, path: Path) -> Place:
        """Return which directory of which file system a path is below what is mounted upon it."""
        return _inside(self.containing(path.parent), str(path))

    def place_of(self, mount: Mount) -> Place | None:
        """Return the directory that a mount sits on; None if that lies outside the namespace."""
        parent = self._numbered.get(mount.parent)
        return None if parent is None else _inside(parent, mount.mountpoint)

    @cached_property
    def _numbered(self) -> dict[int, Mount]:
        return {mount.number: mount for mount in self._mounts}

    @cached_property
    def _topmost(self) -> dict[str, Mount]:
        topmost: dict[str, Mount] = {}
        for mount in self._mounts:
            known = topmost.get(mount.mountpoint)
            if known is None or known.parent != mount.number:
                topmost[mount.mountpoint] = mount
        return topmost


class MountWatch:
    """This namespace's mounts, read again only when the kernel says that they changed.

    Listing ten thousand volumes asks for the mounts ten thousand times. poll(2) on an open
    mountinfo tells of every change since the last poll.
    """

    def __init__(self) -> None:
        file = os.open(PROC / "self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, file)
        self._poll = select.poll()
        self._poll.register(file, select.POLLPRI)
        self._mutex = threading.Lock()
        self._known: Mounts | None = None

    def now(self) -> Mounts:
        """Return the present mounts; never blocks on what is mounted."""
        with self._mutex:
            if self._poll.poll(0) or self._known is None:
                self._known = read()
            return self._known


def read(process: str = "self") -> Mounts:
    """Read the mounts that a process sees; raise OSError if it is gone or not ours to look at."""
    return parse(_steady(PROC / process / "mountinfo"))


def parse(text: str) -> Mounts:
    """Read the text of a mountinfo file (proc_pid_mountinfo(5))."""
    return Mounts(_mount(line) for line in text.splitlines() if line)


def _steady(path: Path) -> str:
    """Read until two reads agree: before Linux 5.8 a changing table could be read torn."""
    text = _text(path)
    for _ in range(10):
        again = _text(path)
        if again == text:
            break
        text = again
    return text


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="surrogateescape")


def _mount(line: str) -> Mount:
    front, _, back = line.partition(" - ")
    number, parent, device, root, mountpoint, options, *tags = front.split(" ")
    fstype, source, super_options, *_ = back.split(" ")
    return Mount(
        int(number),
        int(parent),
        device,
        _plain(root),
        _plain(mountpoint),
        tuple(options.split(",")),
        tuple(tags),
        fstype,
        _plain(source),
        tuple(super_options.split(",")),
    )


def _plain(word: str) -> str:
    r"""Undo the kernel's escapes: `\040` is a space."""
    if "\\" not in word:
        return word
    return os.fsdecode(_OCTAL.sub(lambda match: chr(int(match[1], 8)), word).encode("latin-1"))


def _inside(mount: Mount, path: str) -> Place:
    below = os.path.relpath(path, mount.mountpoint)
    return mount.device, os.path.normpath(f"{mount.root.rstrip('/')}/{below}")
