"""Mounting, by programs that can be killed.

A mount(2) of ours on a server that is gone could never be stopped; a child can. Every mount is
looked up in the kernel's list afterwards: mount.glusterfs was seen to return success with nothing
mounted (backends-file 1.4).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from volplug.command import run
from volplug.crashpoint import crashpoint
from volplug.errors import HostError, Unsupported
from volplug.linux import cgroup, mount_options
from volplug.linux.mountinfo import Mount, MountWatch
from volplug.source import Share

HELPER_DIRECTORIES: tuple[Path, ...] = (Path("/sbin"), Path("/usr/sbin"))
FILESYSTEMS = Path("/proc/filesystems")

_KEPT = {"nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "ro", "nosymfollow"}

_CURES = (
    ("unknown filesystem type", "this kernel has no such file system: load its module"),
    ("must be superuser", "volplug needs CAP_SYS_ADMIN to mount"),
    ("structure needs cleaning", "its file system is damaged: check it by hand, on a copy"),
    ("access denied by server", "the server does not export this to this node"),
    ("no such file or directory", "the server or this machine has no such directory"),
    ("connection refused", "the server runs no such service"),
    ("name or service not known", "the server's name does not resolve here"),
)
_CURE = "`dmesg | tail` has the kernel's own words"


def mount_share(share: Share, target: Path, *, read_only: bool, watch: MountWatch) -> Mount:
    """Mount a share on an empty directory and return what the kernel shows there."""
    if share.fstype == "bind":
        return _mount_directory(share, target, read_only=read_only, watch=watch)
    text = mount_options.options(share.mount_options, read_only=read_only)
    if not share.source or share.source.startswith("-"):
        raise HostError(f"cannot mount {share.source!r}: not a source of a file system")
    helper = _helper(share.fstype)
    if helper is not None:
        _run([helper, share.source, target, "-o", text], through=cgroup.outside())
    else:
        _run(["mount", "-i", "-n", "-c", "-t", share.fstype, "-o", text, share.source, target])
    return _mounted(target, watch)


def mount_disk(device: str, fstype: str, target: Path, options: str, watch: MountWatch) -> Mount:
    """Mount a disk's file system on an empty directory and return what the kernel shows there."""
    _run(["mount", "-i", "-n", "-c", "-t", fstype, "-o", options, "--", device, target])
    return _mounted(target, watch)


def bind(
    source: Path, target: Path, options: list[str], *, read_only: bool, watch: MountWatch
) -> Mount:
    """Show an existing directory at another place, with at least the options it has now."""
    _run(["mount", "-i", "-n", "-c", "-o", "bind", "--", source, target])
    crashpoint("stage.bound")
    kept = [option for option in _mounted(target, watch).options if option in _KEPT]
    ours = [*mount_options.ALWAYS, *(["ro"] if read_only else [])]
    text = ",".join(dict.fromkeys(["remount", "bind", *kept, *options, *ours]))
    _run(["mount", "-i", "-n", "-c", "-o", text, "--", target])
    return _mounted(target, watch)


def _mount_directory(share: Share, target: Path, *, read_only: bool, watch: MountWatch) -> Mount:
    options = mount_options.bind_options(share.mount_options)
    if not _is_plain_directory(share.source):
        raise HostError(
            f"{share.source!r} is not a directory of this machine: wanted an absolute path, "
            "without symbolic links, of a directory that exists"
        )
    return bind(Path(share.source), target, options, read_only=read_only, watch=watch)


def _is_plain_directory(path: str) -> bool:
    """Ask a program, for an adopted directory may lie on a server that is gone."""
    found = run(["realpath", "-e", "--", f"{path}/."], expect=(0, 1))
    return found.stdout == f"{path}\n"


def _helper(fstype: str) -> Path | None:
    """Return the file system's own mount program, or None where the kernel alone can do it."""
    name = f"mount.{fstype.removeprefix('fuse.')}"
    if os.sep in name:
        raise HostError(f"{fstype!r} is not a kind of file system")
    for directory in HELPER_DIRECTORIES:
        if (directory / name).exists():
            return directory / name
    if f"nodev\t{fstype}\n" in FILESYSTEMS.read_text():
        return None
    raise Unsupported(
        f"{fstype} cannot be mounted on this machine: there is no program {name} and the kernel "
        "does not know it by itself; `volplug doctor` names the package"
    )


def _mounted(target: Path, watch: MountWatch) -> Mount:
    mount = watch.now().at(target)
    if mount is None:
        raise HostError(
            f"the mount program reported success, but nothing is mounted at {target}: the server "
            "refused this node, look at its log"
        )
    return mount


def _run(argv: list[str | os.PathLike[str]], *, through: Sequence[str] = ()) -> None:
    try:
        run(argv, through=through)
    except HostError as error:
        words = str(error).lower()
        cure = next((cure for sign, cure in _CURES if sign in words), _CURE)
        raise HostError(f"{error}; {cure}") from error
