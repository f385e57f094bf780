"""How mounts of ours come to be seen by an engine in another mount namespace.

Only what is mounted below a shared mount is. systemd makes `/` one, and as a managed plugin the
engine makes `mount_dir` one; elsewhere we bind that directory on itself for as long as a volume is
mounted below, and leave no mount behind when none is.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from volplug.command import run
from volplug.deadline import shielded
from volplug.errors import VolplugError
from volplug.linux.mountinfo import MountWatch

_CLEANUP_S = 10.0


class SharedDirectory:
    """A directory whose mounts are seen in other namespaces."""

    def __init__(self, directory: Path, watch: MountWatch) -> None:
        self._directory = directory
        self._watch = watch
        self._mutex = threading.Lock()
        self._blocks = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have it shared inside the block, and afterwards while something is mounted below."""
        with self._mutex:
            self._blocks += 1
            try:
                self._share()
            except BaseException:
                self._blocks -= 1
                raise
        try:
            yield
        finally:
            with self._mutex:
                self._blocks -= 1

    def tidy(self) -> None:
        """Remove our bind of the directory on itself, if nothing needs it now."""
        with self._mutex:
            if not self._blocks and self._is_ours() and not self._is_needed():
                with shielded(_CLEANUP_S), suppress(VolplugError):
                    run(["umount", "-i", "-n", "-c", "--", self._directory])

    def _share(self) -> None:
        self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        if self._watch.now().containing(self._directory).shared:
            return
        mount = ["mount", "-i", "-n", "-c"]
        if self._watch.now().at(self._directory) is None:
            run([*mount, "-o", "bind", "--", self._directory, self._directory])
        run([*mount, "--make-shared", "--", self._directory])

    def _is_ours(self) -> bool:
        """Whether it is a mount that shows the very directory it sits on."""
        mounts = self._watch.now()
        if mounts.at(self._directory) is None:
            return False
        return mounts.shown(self._directory) == mounts.under(self._directory)

    def _is_needed(self) -> bool:
        below = f"{self._directory}/"
        return any(mount.mountpoint.startswith(below) for mount in self._watch.now())
