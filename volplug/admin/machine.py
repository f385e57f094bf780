"""What the doctor looks at: programs, capabilities, mounts, and the distribution's package names.

Everything is read below a root directory, so that tests put a small tree in place of a machine.
"""

import ctypes
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

CAP_SYS_PTRACE = 19  # <linux/capability.h>
CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24

_CLOCK_UNSYNCHRONISED = 5  # TIME_ERROR in <sys/timex.h>

# Who ships a program: on Debian and its kin, on Fedora and its kin, on Alpine.
_PACKAGES = {
    "apt-get install": {
        "mount": "mount",
        "umount": "mount",
        "losetup": "mount",
        "blkid": "util-linux",
        "mount.nfs": "nfs-common",
        "mount.glusterfs": "glusterfs-client",
        "iscsiadm": "open-iscsi",
        "multipathd": "multipath-tools",
    },
    "dnf install": {
        "mount.nfs": "nfs-utils",
        "mount.glusterfs": "glusterfs-fuse",
        "iscsiadm": "iscsi-initiator-utils",
        "multipathd": "device-mapper-multipath",
    },
    "apk add": {
        "resize2fs": "e2fsprogs-extra",
        "tune2fs": "e2fsprogs-extra",
        "xfs_admin": "xfsprogs-extra",
        "xfs_growfs": "xfsprogs-extra",
        "mount.nfs": "nfs-utils",
        "mount.glusterfs": "glusterfs",
        "iscsiadm": "open-iscsi",
        "multipathd": "multipath-tools",
    },
}
_EVERYWHERE = {
    "mount": "util-linux",
    "umount": "util-linux",
    "losetup": "util-linux",
    "blkid": "util-linux",
    "mkfs.ext4": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "tune2fs": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "xfs_admin": "xfsprogs",
    "xfs_growfs": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "btrfs": "btrfs-progs",
    "btrfstune": "btrfs-progs",
}
_INSTALLERS = {"alpine": "apk add", "fedora": "dnf install", "rhel": "dnf install"}


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo, as far as the doctor reads it."""

    point: Path
    fstype: str
    shared: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine below a root directory; `path` is where its programs are looked for."""

    root: Path = Path("/")
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def has_program(self, name: str) -> bool:
        """Say whether a program can be run."""
        return shutil.which(name, path=self.path) is not None

    def install(self, program: str) -> str:
        """Return the command that installs a program here."""
        installer = self._installer()
        package = _PACKAGES[installer].get(program) or _EVERYWHERE.get(program)
        return f"{installer} {package}" if package else f"install the package that has {program}"

    def has_device(self, name: str) -> bool:
        """Say whether /dev has a device of that name."""
        return (self.root / "dev" / name).exists()

    def has_capability(self, number: int) -> bool:
        """Say whether this process may use a capability."""
        for line in self._read("proc/self/status").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
        return False

    def iscsi_initiator(self) -> str:
        """Return the name under which iSCSI targets know this machine, empty if it has none."""
        for line in self._read("etc/iscsi/initiatorname.iscsi").splitlines():
            key, _, name = line.partition("=")
            if key.strip() == "InitiatorName":
                return name.strip()
        return ""

    def listens(self, name: str) -> bool:
        """Say whether a daemon, or systemd for it, listens on an abstract socket of that name."""
        sockets = [line.split()[-1] for line in self._read("proc/net/unix").splitlines() if line]
        return f"@{name}" in sockets

    def mount_of(self, path: Path) -> Mount | None:
        """Return the mount on which a path lies, or would lie."""
        above = [mount for mount in self._mounts() if path.is_relative_to(mount.point)]
        return max(above, key=lambda mount: len(mount.point.parts), default=None)

    def may_write(self, directory: Path) -> bool:
        """Say whether a directory, or the nearest one above it, can be written to."""
        here = self.root / directory.relative_to("/")
        while not here.exists():
            here = here.parent
        return here.is_dir() and os.access(here, os.W_OK)

    def clock_is_set(self) -> bool:
        """Say whether the kernel believes that something keeps its clock right (adjtimex(2))."""
        timex = ctypes.create_string_buffer(512)  # all zero: ask, change nothing
        return bool(ctypes.CDLL(None).adjtimex(timex) != _CLOCK_UNSYNCHRONISED)

    def _mounts(self) -> list[Mount]:
        """Read mountinfo; of two mounts on one point the later one, which covers, comes last."""
        mounts: dict[Path, Mount] = {}
        for line in self._read("proc/self/mountinfo").splitlines():
            words = line.split()
            dash = words.index("-")
            point = Path(words[4].encode().decode("unicode_escape"))
            shared = any(word.startswith("shared:") for word in words[6:dash])
            mounts[point] = Mount(point, words[dash + 1], shared)
        return list(mounts.values())

    def _installer(self) -> str:
        fields = dict(
            line.split("=", 1) for line in self._read("etc/os-release").splitlines() if "=" in line
        )
        names = (fields.get("ID", "") + " " + fields.get("ID_LIKE", "")).replace('"', "").split()
        return next((_INSTALLERS[name] for name in names if name in _INSTALLERS), "apt-get install")

    def _read(self, name: str) -> str:
        try:
            return (self.root / name).read_text(errors="replace")
        except OSError:
            return ""
