"""What users ask for: a volume, its access mode, its owner, and the rule for names."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from volplug.errors import InvalidOptions

Options = TypeVar("Options")

# Docker passes names on unchecked: "../../evil", ".", newlines (docker-contract 0.12).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)


class AccessMode(StrEnum):
    """Who may use a volume at the same time; a property of the volume, fixed when it is created."""

    SINGLE_CONTAINER = "single-container"  # one mount in the whole cluster
    SINGLE_WRITER = "single-writer"  # one node, any number of its containers
    SHARED_READ = "shared-read"  # many nodes, all of them read only
    SHARED = "shared"  # many nodes, all of them may write

    @property
    def read_only(self) -> bool:
        """Whether nobody may write: the mount, and the device or export below it, are read only."""
        return self is AccessMode.SHARED_READ

    @classmethod
    def parse(cls, text: str) -> "AccessMode":
        """Read a mode in the user's words or under Kubernetes' name, whatever its case.

        Raises ValueError with a sentence that lists the modes.
        """
        mode = _SPELLINGS.get(text.strip().lower())
        if mode is None:
            known = ", ".join(f"{mode} ({name})" for name, mode in _KUBERNETES.items())
            raise ValueError(f"unknown access mode {text!r} (known: {known})")
        return mode


_KUBERNETES = {
    "ReadWriteOncePod": AccessMode.SINGLE_CONTAINER,
    "ReadWriteOnce": AccessMode.SINGLE_WRITER,
    "ReadOnlyMany": AccessMode.SHARED_READ,
    "ReadWriteMany": AccessMode.SHARED,
}
_ABBREVIATIONS = {
    "rwop": AccessMode.SINGLE_CONTAINER,
    "rwo": AccessMode.SINGLE_WRITER,
    "rox": AccessMode.SHARED_READ,
    "rwx": AccessMode.SHARED,
}
_SPELLINGS = (
    {mode.value: mode for mode in AccessMode}
    | {name.lower(): mode for name, mode in _KUBERNETES.items()}
    | _ABBREVIATIONS
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns the top directory of a volume, applied once, when the volume is first staged.

    None leaves what is there. Later changes by the application are kept.
    """

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Volume(Generic[Options]):
    """A volume as its driver sees it; `handle` is what the backend calls it."""

    name: str
    backend: str
    handle: str
    access: AccessMode
    options: Options


def check_name(name: str, what: str = "volume") -> str:
    """Return the name if a volume may have it; raise InvalidOptions with the rule otherwise.

    Snapshots have names by the same rule.
    """
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 60 else name[:60] + "…"
        raise InvalidOptions(
            f"{what} name {shown!r} is not allowed: use 1 to 128 letters, digits, '_', '.' or '-', "
            "starting with a letter or digit"
        )
    return name
