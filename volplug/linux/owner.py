"""The owner of a volume's top directory, applied once and looked at afterwards.

A server that squashes users answers chown with success and does nothing (backends-file 1.7). The
work is done by programs, because on a dead network mount a thread of ours could never be stopped.
"""

from pathlib import Path

from volplug.command import run
from volplug.errors import HostError
from volplug.volume import Owner


def apply(owner: Owner, directory: Path) -> None:
    """Give the directory the owner and mode that are asked for; repeating is success.

    Raises HostError if the file system refuses, or says yes and does nothing.
    """
    if owner == Owner():
        return
    try:
        if (owner.uid, owner.gid) != (None, None):
            run(["chown", "--no-dereference", _spelled(owner), "--", directory])
        if owner.mode is not None:  # after chown, which clears setuid and setgid
            run(["chmod", f"{owner.mode:04o}", "--", directory])
    except HostError as error:
        raise HostError(
            f"the owner of the volume's directory cannot be set: {error}; allow it in the "
            "backend's export (no root squash), or create the volume without uid, gid and mode"
        ) from error
    _verify(owner, directory)


def _verify(owner: Owner, directory: Path) -> None:
    found = run(["stat", "--format=%u %g %a", "--", directory]).stdout.split()
    wanted = [_text(owner.uid), _text(owner.gid), _text(owner.mode, "o")]
    if any(want not in ("", have) for want, have in zip(wanted, found, strict=True)):
        raise HostError(
            "the file system accepted the volume's owner and did not keep it: wanted uid, gid, "
            f"mode {wanted}, found {found}; its server maps users (squash): change the export, or "
            "create the volume without uid, gid and mode"
        )


def _spelled(owner: Owner) -> str:
    """Spell it for chown, to which `1000:` would mean that user's login group."""
    return _text(owner.uid) if owner.gid is None else f"{_text(owner.uid)}:{_text(owner.gid)}"


def _text(number: int | None, base: str = "d") -> str:
    return "" if number is None else format(number, base)
