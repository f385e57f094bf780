"""One step of a volume's life, in a process of its own that a crash point may kill.

Run as `python -m tests.linux.life stage|unstage BASE`. The catalog is a file beside the machine.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from volplug.host import Filesystem, Formatted
from volplug.linux import LinuxHost
from volplug.source import Device, LoopFile, Share, Source
from volplug.volume import Owner

NAME = "v"
OWNER = Owner(1000, 1001, 0o2750)


def source_of(base: Path) -> Source:
    """Return what the volume of this machine is staged from: its image, else its directory."""
    for image in base.glob("*.img"):
        size_bytes = image.stat().st_size
        return Device(LoopFile(image), image.stem, size_bytes=size_bytes)
    return Share("bind", str(base / "tree"))


def recall(base: Path) -> Filesystem:
    """Return what the catalog knows of the volume's file system."""
    try:
        fields = json.loads((base / "catalog.json").read_text())
    except FileNotFoundError:
        return Filesystem()
    return Filesystem(Formatted(fields["formatted"]), fields["fstype"], fields["uuid"])


def remember(base: Path, filesystem: Filesystem) -> None:
    """Store it."""
    draft = base / "catalog.new"
    draft.write_text(json.dumps(asdict(filesystem)))
    draft.replace(base / "catalog.json")


def stage(host: LinuxHost, base: Path) -> None:
    """Stage the volume, with what the catalog knows."""
    host.stage(
        NAME,
        source_of(base),
        filesystem=recall(base),
        remember=lambda filesystem: remember(base, filesystem),
        owner=OWNER,
        read_only=False,
    )


if __name__ == "__main__":
    place = Path(sys.argv[2])
    host = LinuxHost(place / "state", place / "mounts")
    if sys.argv[1] == "stage":
        stage(host, place)
    else:
        host.unstage(NAME)
