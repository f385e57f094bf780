"""Which mount options may be passed on.

`mount -t nfs -o bind /etc TARGET` succeeds and mounts /etc of the host (backends-file 1.3): words
that the mount program or the VFS take for themselves are orders to the machine, not to the file
system, and options may come from whoever can create a volume.
"""

import re
from collections.abc import Iterable

from volplug.errors import HostError

ALWAYS = ("nosuid", "nodev")

_REFUSED = frozenset(
    {
        *("bind", "rbind", "move", "remount", "loop", "offset", "sizelimit", "encryption"),
        *("suid", "dev", "exec", "defaults", "user", "users", "owner", "group", "helper"),
        *("uhelper", "context", "fscontext", "defcontext", "rootcontext"),
        *("shared", "rshared", "slave", "rslave", "private", "rprivate"),
        *("unbindable", "runbindable"),
    }
)
_REFUSED_PREFIXES = ("x-", "verity.", "make-")
_OF_A_BIND = frozenset({"noexec", "noatime", "nodiratime", "relatime", "strictatime", "ro", "rw"})
_PLAIN = re.compile(r"[^\s,\"\\\x00-\x20\x7f]+")


def options(given: Iterable[str], *more: str, read_only: bool) -> str:
    """Return the text after `-o`: the given options, then ours, which therefore win.

    Raises HostError that names an option which is refused.
    """
    checked = [_checked(option) for option in given]
    return ",".join([*checked, *more, *ALWAYS, *(["ro"] if read_only else [])])


def bind_options(given: Iterable[str]) -> list[str]:
    """Return the given options if a bind mount can have them; HostError names one it cannot."""
    checked = [_checked(option) for option in given]
    wrong = [option for option in checked if option not in {*_OF_A_BIND, *ALWAYS}]
    if wrong:
        raise HostError(
            f"mount option {wrong[0]!r} means nothing for a directory of this machine "
            f"(possible: {', '.join(sorted(_OF_A_BIND))})"
        )
    return checked


def _checked(option: str) -> str:
    word = option.partition("=")[0].lower()
    if not _PLAIN.fullmatch(option) or option.startswith("-"):
        raise HostError(
            f"mount option {option!r} is refused: one option is one word, without commas, spaces, "
            "quotes or control characters"
        )
    if word in _REFUSED or word.startswith(_REFUSED_PREFIXES):
        raise HostError(
            f"mount option {option!r} is refused: it speaks to this machine and not to the "
            "file system; leave it out"
        )
    return option
