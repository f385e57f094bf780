"""Discarding a volume whose lease was taken: what was not written out never gets to its disk."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.linux.conftest import Machine
from volplug.errors import VolumeInUse
from volplug.linux import LinuxHost
from volplug.source import Device, LoopFile
from volplug.testing import Known

Elsewhere: TypeAlias = Callable[[Path], AbstractContextManager[int]]


@pytest.mark.root
def test_what_is_held_back_is_not_written(machine: Machine, host: LinuxHost) -> None:
    """A file that only the kernel's memory holds is gone; what was synced is there."""
    image = machine.base / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    known, source = Known(), Device(LoopFile(image), "ext4")
    known.stage(host, "v", source)
    path = host.path("v")
    assert path is not None
    (path / "synced").write_text("kept")
    with (path / "synced").open() as file_there:
        os.fsync(file_there.fileno())
    (path / "held back").write_text("somebody else writes there by now")
    for _ in range(3):
        host.discard("v")
    assert host.staged() == set()
    known.stage(host, "v", source)
    assert (path / "synced").read_text() == "kept"
    assert not (path / "held back").exists()


@pytest.mark.root
def test_who_still_uses_it_writes_nothing(
    machine: Machine, host: LinuxHost, elsewhere: Elsewhere
) -> None:
    """While a container has it mounted it stays, refused as in use, and takes no write."""
    image = machine.base / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    Known().stage(host, "v", Device(LoopFile(image), "ext4"))
    path = host.path("v")
    assert path is not None
    with elsewhere(path):
        with pytest.raises(VolumeInUse):
            host.discard("v")
        with pytest.raises(OSError, match="Input/output error"):
            (path / "late").write_text("z")
    host.discard("v")
    assert host.staged() == set()
