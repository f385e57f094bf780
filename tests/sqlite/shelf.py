"""Where to put files whose durability is not what is tested: in memory, if the machine has it."""

import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")


def new_shelf() -> Path:
    """Make an empty directory, which the caller removes."""
    return Path(tempfile.mkdtemp(prefix="volplug-", dir=_MEMORY if _MEMORY.is_dir() else None))
