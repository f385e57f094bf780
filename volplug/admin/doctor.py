"""Says, before a Mount fails at three in the morning, what this machine lacks and how to get it.

A thing is needed only if a configured backend would use it, so that a machine with nothing but
NFS is not told to install xfsprogs.
"""

import http.client
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volplug import options, registry
from volplug.admin import drivers
from volplug.admin.client import Client, UnixConnection
from volplug.admin.machine import CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYS_RESOURCE, Machine
from volplug.backends import drivers_own
from volplug.config import Config
from volplug.driver import Driver
from volplug.errors import VolplugError

# SQLite's locks and our fsyncs mean nothing there, and what tmpfs holds is gone after a boot.
_UNFIT_FOR_STATE = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "tmpfs", "ramfs", "fuse.")
# Where iscsid and multipathd are spoken to (usr/mgmt_ipc.h, libmpathcmd/mpath_cmd.h).
_ISCSID, _MULTIPATHD = "ISCSIADM_ABSTRACT_NAMESPACE", "/org/kernel/linux/storage/multipathd"
_CHECKERS = {"ext4": "e2fsck", "xfs": "xfs_admin", "btrfs": "btrfs"}
_PATIENCE_S = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for: whether it is there, what for, and the command that mends it."""

    what: str
    ok: bool
    purpose: str
    fix: str = ""
    needed: bool = True

    @property
    def state(self) -> str:
        """OK, MISSING, or OPTIONAL when it is missing and nothing configured needs it."""
        return "OK" if self.ok else "MISSING" if self.needed else "OPTIONAL"

    @property
    def plain(self) -> dict[str, str]:
        """It as JSON has it, and as views.findings shows it."""
        return {"what": self.what, "state": self.state, "purpose": self.purpose, "fix": self.fix}


def examine(config: Config, machine: Machine, engine_socket: Path) -> list[Finding]:
    """Look at everything; a Docker engine or a volplug that is stuck costs five seconds."""
    loaded, findings = _backends(config)
    mounts = any(_mounts(name, driver) for name, driver in loaded.items())
    findings += _rights(machine, needed=mounts)
    findings += _programs(loaded, machine, mounts)
    findings += _devices(loaded, machine)
    findings += _initiator(loaded, machine)
    findings += _places(config, machine)
    findings += _engine(engine_socket)
    findings += _surroundings(config, machine)
    return findings


def _backends(config: Config) -> tuple[dict[str, type[Driver[Any, Any]]], list[Finding]]:
    """Load the driver of each backend and read its keys, as `serve` will."""
    loaded: dict[str, type[Driver[Any, Any]]] = {}
    findings = []
    for name, keys in sorted(config.backends.items()):
        problem, driver_name = "", keys["driver"]
        try:
            driver = loaded[driver_name] = registry.load(driver_name)
            what = f"backend '{name}'"
            options.parse(driver.config_type, drivers_own(keys), what=what, base=config.state_dir)
        except VolplugError as error:
            problem = str(error)
        purpose = f"volumes of driver {driver_name}"
        findings.append(Finding(f"backend {name}", not problem, purpose, problem))
    return loaded, findings


def _mounts(name: str, driver: type[Driver[Any, Any]]) -> bool:
    """Say whether a driver's volumes must be mounted; those of `local` can do without root."""
    return name != "local" or bool(drivers.file_systems(driver))


def _rights(machine: Machine, *, needed: bool) -> Iterator[Finding]:
    yield Finding("root", os.geteuid() == 0, "mounting volumes", "sudo volplug serve", needed)
    yield Finding(
        "CAP_SYS_ADMIN",
        machine.has_capability(CAP_SYS_ADMIN),
        "mounting volumes",
        "run volplug outside a container, or with --cap-add SYS_ADMIN",
        needed,
    )
    yield Finding(
        "CAP_SYS_PTRACE",
        machine.has_capability(CAP_SYS_PTRACE),
        "seeing which processes have a volume mounted",
        "run volplug outside a container, or with --cap-add SYS_PTRACE --pid host",
        needed,
    )
    yield Finding(
        "CAP_SYS_RESOURCE",
        machine.has_capability(CAP_SYS_RESOURCE),
        "growing an ext4 volume that is in use",
        "run volplug outside a container, or with --cap-add SYS_RESOURCE",
        needed=False,
    )


def _programs(
    loaded: dict[str, type[Driver[Any, Any]]], machine: Machine, mounts: bool
) -> Iterator[Finding]:
    wanted: dict[str, tuple[str, bool]] = {}
    if mounts:
        wanted |= dict.fromkeys(("mount", "umount"), ("mounting volumes", True))
    for name, driver in loaded.items():
        for program in driver.needs:
            wanted[program] = (f"volumes of driver {name}", True)
        for place, fstype in enumerate(drivers.file_systems(driver)):
            wanted.setdefault("blkid", ("telling a blank disk from one with data", True))
            for program in (f"mkfs.{fstype}", _CHECKERS.get(fstype, f"fsck.{fstype}")):
                wanted.setdefault(program, (f"{name} volumes with fstype={fstype}", place == 0))
    for program, (purpose, needed) in wanted.items():
        fix = machine.install(program)
        yield Finding(program, machine.has_program(program), purpose, fix, needed)


def _devices(loaded: dict[str, type[Driver[Any, Any]]], machine: Machine) -> Iterator[Finding]:
    needs = {program for driver in loaded.values() for program in driver.needs}
    yield Finding(
        "loop devices",
        machine.has_device("loop-control"),
        "volumes of driver loop",
        "modprobe loop",
        needed="loop" in loaded,
    )
    yield Finding(
        "FUSE",
        machine.has_device("fuse"),
        "file systems such as GlusterFS",
        "modprobe fuse",
        needed="mount.glusterfs" in needs,
    )


def _initiator(loaded: dict[str, type[Driver[Any, Any]]], machine: Machine) -> Iterator[Finding]:
    """Look at iSCSI's daemons and at the machine's name for it, if a backend's disks need them."""
    names = [name for name, driver in loaded.items() if "iscsiadm" in driver.needs]
    if not names:
        return
    purpose = f"volumes of driver {', '.join(names)}"
    fix = (
        'echo "InitiatorName=$(iscsi-iname)" >/etc/iscsi/initiatorname.iscsi: it must be unlike '
        "that of any other machine, so a cloned one needs a new name"
    )
    yield Finding("iSCSI initiator name", bool(machine.iscsi_initiator()), purpose, fix)
    running = machine.listens(_ISCSID)
    yield Finding("iscsid", running, purpose, "systemctl enable --now iscsid.socket")
    yield Finding(
        "multipathd",
        machine.listens(_MULTIPATHD),
        "LUNs that are reached through several portals",
        f"{machine.install('multipathd')}; systemctl enable --now multipathd",
        needed=False,
    )


def _places(config: Config, machine: Machine) -> Iterator[Finding]:
    for key in ("state_dir", "mount_dir"):
        place = getattr(config, key)
        fix = f"become root, or choose another {key}"
        yield Finding(f"{key} {place}", machine.may_write(place), "kept between starts", fix)
    folder = config.socket.parent
    fix = f"become root, or choose another socket than {config.socket}"
    yield Finding(f"socket directory {folder}", machine.may_write(folder), "serving Docker", fix)
    under = machine.mount_of(config.state_dir)
    fstype = under.fstype if under else "unknown"
    yield Finding(
        f"file system of state_dir ({fstype})",
        not fstype.startswith(_UNFIT_FOR_STATE),
        "leases that survive a power cut: a local disk, neither a network one nor memory",
        "set state_dir to a directory on a local disk",
    )
    above = machine.mount_of(config.mount_dir)
    yield Finding(
        "shared mount propagation",
        bool(above and above.shared),
        "containers seeing mounts made here",
        "mount --make-rshared /",
        needed=False,
    )


def _engine(path: Path) -> Iterator[Finding]:
    """Ask the Docker engine whether it knows volplug; Podman users can do without."""
    try:
        _get(path, "/volumes")  # the engine looks for plugins when it lists volumes, not for /info
        known = _get(path, "/info").get("Plugins", {}).get("Volume") or []
        # Which leaves out those that it manages itself.
        known += [one["Name"] for one in _get(path, "/plugins") if one["Enabled"]]
    except TimeoutError:
        fix = (
            "look in /run/docker/plugins and /etc/docker/plugins for a plugin that hangs or is dead"
        )
        yield Finding("Docker engine", False, "serving docker volumes", fix, needed=False)
        return
    except (OSError, http.client.HTTPException, ValueError, AttributeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        fix = f"systemctl start docker ({path}: {reason})"
        yield Finding("Docker engine", False, "serving docker volumes", fix, needed=False)
        return
    yield Finding("Docker engine", True, "serving docker volumes")
    yield Finding(
        "volplug known to Docker",
        any(name.partition(":")[0] == "volplug" for name in known),
        "docker volume create -d volplug",
        "systemctl start volplug.socket, or docker plugin enable --timeout 0 volplug",
        needed=False,
    )


def _get(path: Path, resource: str) -> Any:
    connection = UnixConnection(path, _PATIENCE_S)
    try:
        connection.request("GET", resource, headers={"Host": "docker"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _surroundings(config: Config, machine: Machine) -> Iterator[Finding]:
    fix = ""
    try:
        Client(config.socket, _PATIENCE_S).volumes()
    except VolplugError as error:
        fix = str(error)
    yield Finding(f"volplug at {config.socket}", not fix, "being of use", fix, needed=False)
    yield Finding(
        "clock kept right",
        machine.clock_is_set(),
        "times that agree between machines; no lease depends on it",
        "systemctl enable --now systemd-timesyncd, or chronyd",
        needed=False,
    )
