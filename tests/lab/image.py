"""The image that every guest boots from: Debian 13 packages under Debian 12's cloud kernel.

Built once, in a minute or two, and kept in the user's cache under a hash of all that goes into it.
It holds packages only: what is under test comes into a guest through its seed (seed.py), so that a
change of volplug or of a guest's scripts builds nothing. Packed as erofs, it is mounted read-only
by all guests at once, each with a tmpfs over it: nothing to copy and nothing to reset.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.machine import need_program, need_root

SUITE = "trixie"
# fmt: off
PACKAGES = (
    "busybox-static", "iproute2", "kmod", "procps", "udev",            # a machine
    "dropbear-bin",                                                    # its remote control
    "crun", "docker.io", "docker-cli",                                 # the engine
    "python3", "python3-flask", "python3-gunicorn",                    # volplug
    "btrfs-progs", "e2fsprogs", "libnfs14", "mount", "nfs-common",     # what it calls
    "multipath-tools", "open-iscsi", "xfsprogs",
    "python3-futurist", "python3-pbr", "python3-requests",             # what etcd3gw wants
    "netbase", "nfs-kernel-server",                                    # storage
)
# fmt: on
_INSIDE = Path(__file__).with_name("inside")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "volplug"
# A build that is cut short takes its processes and its mounts along.
CONTAINED = (
    *("setpriv", "--pdeathsig=KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"),
)


@dataclass(frozen=True, slots=True)
class Image:
    """The three files a guest boots from."""

    kernel: Path
    initrd: Path
    root: Path


def image() -> Image:
    """Return the image, building it if the cache has none of these packages and scripts.

    Skips the test where it cannot be built. Fails it with the last words of a build that failed.
    """
    need_root()
    for program, package in (
        ("busybox", "busybox-static"),
        ("debootstrap", "debootstrap"),
        ("mkfs.erofs", "erofs-utils"),
    ):
        need_program(program, package)
    directory = _CACHE / f"lab-{_key()}"
    with _one_at_a_time():
        if not directory.exists():
            _build(directory)
    return Image(directory / "vmlinuz", directory / "initrd", directory / "root.erofs")


def _key() -> str:
    """Return what tells this image from others: a hash of the suite, packages and scripts."""
    inputs = [SUITE, *PACKAGES, *((_INSIDE / name).read_text() for name in ("build", "boot"))]
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Have other test runs of this user wait for the image instead of building it too."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lab.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(directory: Path) -> None:
    """Make the image; it appears in the cache only when it is whole."""
    for leftover in _CACHE.glob("lab-build-*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix="lab-build-", dir=_CACHE) as scratch:
        root, whole, log = (Path(scratch) / name for name in ("root", "whole", "log"))
        packages = f"--include={','.join(PACKAGES)}"
        _run(log, *CONTAINED, "debootstrap", "--variant=minbase", packages, SUITE, str(root))
        shutil.copy(_INSIDE / "build", root / "build")
        shutil.copy(_INSIDE / "boot", root / "boot-script")
        _run(log, *CONTAINED, "--mount-proc", "chroot", str(root), "/build")
        (root / "out").rename(whole)
        _run(log, "mkfs.erofs", "-d1", "-x-1", str(whole / "root.erofs"), str(root))
        whole.rename(directory)


def _run(log: Path, *argv: str) -> None:
    """Run a step of the build; fail the test with its last words if it fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    with log.open("a") as output:
        done = subprocess.run(argv, check=False, stdout=output, stderr=output, env=environment)
    words = log.read_text(errors="replace")[-2000:]
    assert done.returncode == 0, f"{' '.join(argv)} failed:\n{words}"
