"""A container image made of Debian's static busybox alone: no registry, no network, 2 MB."""

import io
import subprocess
import tarfile
from pathlib import Path

# A directory with an owner and a file, for copy-up: an empty volume mounted there gets both.
SEED = "/seed"
SEED_UID = 1234
SEED_TEXT = "from the image\n"


def busybox_tree(busybox: Path, tar: Path) -> None:
    """Write a root filesystem for `docker import`: busybox under all its names, /tmp and SEED."""
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    with tarfile.open(tar, "w") as tree:
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            _directory(tree, name)
        _directory(tree, SEED.strip("/"), uid=SEED_UID)
        _file(tree, f"{SEED}/text".strip("/"), SEED_TEXT.encode(), mode=0o644, uid=SEED_UID)
        _file(tree, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", mode=0o644)
        _file(tree, "bin/busybox", busybox.read_bytes(), mode=0o755)
        for applet in applets.stdout.split():
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname, link.mode = tarfile.LNKTYPE, "bin/busybox", 0o755
                tree.addfile(link)


def _directory(tree: tarfile.TarFile, name: str, uid: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid = tarfile.DIRTYPE, 0o755, uid
    tree.addfile(entry)


def _file(tree: tarfile.TarFile, name: str, content: bytes, mode: int, uid: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.uid = len(content), mode, uid
    tree.addfile(entry, io.BytesIO(content))
