"""What the plugin's root filesystem is made from: an image of the operator's, or Debian packages.

Neither a registry nor a Docker Engine can be counted on where a plugin is built; debootstrap wants
only a Debian mirror. Its result is kept for the next time, for it takes a minute.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Protocol

from deploy.steps import StepFailed, run, step

SUITE, PYTHON = "bookworm", "3.11"
# Python, and what the host runs on the node: mount, losetup, blkid, mkfs, fsck, mount.nfs.
PACKAGES = ("python3", "e2fsprogs", "kmod", "mount", "nfs-common", "util-linux", "xfsprogs")
# Files that only people and apt read.
_UNREAD = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt")
_ASK_VERSION = ("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")


class Base(Protocol):
    """Something that becomes the plugin's root filesystem when volplug is installed in it."""

    def python(self) -> str:
        """Return the version of its Python, such as "3.11", which decides the wheels."""
        ...

    def install(self, context: Path, rootfs: Path) -> None:
        """Run the Dockerfile's recipe with the build context, and leave the result in rootfs."""
        ...


class Image:
    """A container image that holds Python and the programs listed above."""

    def __init__(self, name: str) -> None:
        self._name = name

    def python(self) -> str:
        """Ask the image's own Python."""
        with step(f"asking {self._name} for its Python"):
            return run("docker", "run", "--rm", "--network=none", self._name, *_ASK_VERSION)

    def install(self, context: Path, rootfs: Path) -> None:
        """Build the Dockerfile and unpack the image that comes out."""
        with step(f"building on {self._name}"):
            build = ("docker", "build", "--quiet", "--network=none")
            image = run(*build, f"--build-arg=BASE={self._name}", context)
        with step("unpacking the image"):
            container = run("docker", "create", image, "true")
            try:
                tar = rootfs.with_suffix(".tar")
                run("docker", "export", container, into=tar)
            finally:
                run("docker", "rm", container)
            _unpack(tar, rootfs)
            tar.unlink()


class Debian:
    """A minimal Debian made by debootstrap and kept in a cache directory."""

    def __init__(self, cache: Path) -> None:
        words = " ".join((SUITE, *PACKAGES, *_UNREAD)).encode()
        self.tar = cache / f"base-{SUITE}-{hashlib.sha256(words).hexdigest()[:12]}.tar"

    def python(self) -> str:
        """Return the version that the suite brings."""
        return PYTHON

    def install(self, context: Path, rootfs: Path) -> None:
        """Unpack the base, made first if need be, and do in it what the Dockerfile does."""
        if os.geteuid() != 0:
            raise StepFailed("debootstrap works as root only: run this as root, or give BASE=image")
        if not self.tar.exists():
            with step(f"making a base of Debian {SUITE} in {self.tar.parent}, once"):
                self._debootstrap()
        with step("installing volplug in Debian"):
            _unpack(self.tar, rootfs)
            shutil.copytree(context / "wheels", rootfs / "wheels")
            shutil.copy(context / "install", rootfs / "wheels")
            run("chroot", rootfs, "/bin/sh", "/wheels/install")

    def _debootstrap(self) -> None:
        """Make the base; it appears in the cache only when it is whole."""
        self.tar.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.tar.parent) as scratch:
            root, tar = Path(scratch) / "root", Path(scratch) / "base.tar"
            packages = f"--include={','.join(PACKAGES)}"
            run("debootstrap", "--variant=minbase", packages, SUITE, root)
            for directory in _UNREAD:
                shutil.rmtree(root / directory)
            run("tar", "-C", root, "-cf", tar, ".")
            tar.rename(self.tar)


def _unpack(tar: Path, rootfs: Path) -> None:
    rootfs.mkdir()
    run("tar", "-C", rootfs, "-xpf", tar)
