"""The rule for directories that a user brings along with `path=`.

Whoever may talk to the engine may bind-mount any directory anyway, so the rule does not guard
secrets. It guards against the mistake of giving a container the kernel's own trees, or the place
where all the other volumes are.
"""

from collections.abc import Collection
from pathlib import Path

from volplug.sdk import InvalidOptions

_KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))


def adoptable(path: Path, *, below: Collection[Path], keep_out: Collection[Path]) -> Path:
    """Return the directory behind `path`, with every link followed.

    Raises InvalidOptions, with the way out, for one that is not there, that touches a kept
    directory from inside or from above, or that is outside of `below` where that is not empty.
    """
    try:
        found = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise InvalidOptions(f"path={path} cannot be used: {error}; make it first") from error
    if not path.is_absolute() or not found.is_dir():
        raise InvalidOptions(f"path={path} must be the absolute path of a directory")
    for place in (*_KERNEL, *keep_out):
        kept = place.resolve()
        if found.is_relative_to(kept) or kept.is_relative_to(found):
            raise InvalidOptions(f"path={path} would expose {kept}: use another directory")
    if below and not any(found.is_relative_to(place.resolve()) for place in below):
        allowed = ", ".join(map(str, below))
        raise InvalidOptions(f"path={path} is outside of {allowed} (adopt_below can allow more)")
    return found
