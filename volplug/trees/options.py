"""What can be asked of a volume that is a directory of a share."""

from dataclasses import dataclass
from enum import StrEnum

from volplug.options import Mode, option


class OnDelete(StrEnum):
    """What becomes of a volume's data when the volume is deleted."""

    DELETE = "delete"  # removed, in the background
    ARCHIVE = "archive"  # kept for some days, then removed
    RETAIN = "retain"  # kept until an operator removes it


def _is_id(number: int) -> bool:
    return 0 <= number < 2**32 - 1


@dataclass(frozen=True)
class SubdirectoryOptions:
    """What a user says of a volume that is a directory of a share."""

    path: str | None = option(
        default=None, help="directory of the share to use as it is; it is never deleted"
    )
    on_delete: OnDelete | None = option(
        default=None, help="what becomes of the data when the volume is deleted"
    )
    uid: int = option(
        default=0, help="owner of a new directory", check=_is_id, want="a user id as a number"
    )
    gid: int = option(
        default=0, help="group of a new directory", check=_is_id, want="a group id as a number"
    )
    mode: Mode = option(default=Mode(0o755), help="permissions of a new directory, in octal")
    mount_options: tuple[str, ...] = option(
        default=(), help="mount options, of those that the operator allows"
    )


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who the top directory of a volume belongs to, from the start."""

    uid: int = 0
    gid: int = 0
    mode: int = 0o755
