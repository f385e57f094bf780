"""Deleting without waiting: a rename now, the removal of the files afterwards.

A rename has no halves, so a crash leaves a volume or none. What is in the trash belongs to nobody:
any later purge, of any process, may remove it.
"""

import contextlib
import logging
import os
import threading
import time
from pathlib import Path

from volplug.sdk import VolplugError, remaining, run

_NAME = ".trash"
_WAIT_S = 5.0  # small volumes are gone when delete returns; large ones soon after

_log = logging.getLogger(__name__)


class Trash:
    """The trash of one directory of volumes."""

    def __init__(self, root: Path) -> None:
        self._path = root / _NAME
        self._purging = threading.Lock()

    def discard(self, root: int, entry: str) -> None:
        """Rename an entry of `root` into the trash. Already gone is success."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(_NAME, 0o700, dir_fd=root)
        with contextlib.suppress(FileNotFoundError):
            discarded = f"{_NAME}/{entry}.{time.time_ns()}"
            os.rename(entry, discarded, src_dir_fd=root, dst_dir_fd=root)

    def purge(self) -> None:
        """Remove what is in the trash, for a moment here and then in the background."""
        purge = threading.Thread(target=self._empty, name="volplug-purge", daemon=True)
        purge.start()  # its context is new, and so has no deadline
        purge.join(min(_WAIT_S, remaining()))

    def _empty(self) -> None:
        with self._purging:
            try:
                while entries := sorted(self._path.iterdir()):
                    # rm follows no links, and stops at whatever is still mounted in there.
                    run(["rm", "-rf", "--one-file-system", "--", *entries[:100]])
            except (OSError, VolplugError) as error:  # left for the next purge
                _log.warning("purge path=%s error=%s", self._path, error)
