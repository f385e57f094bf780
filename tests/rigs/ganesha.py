"""A real NFS server in user space: nfs-ganesha with its VFS backend and a D-Bus of its own."""

import signal
import subprocess
from pathlib import Path

from tests.machine import need_program, need_root
from tests.rigs.network import Host, start, until

_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={place}/bus</listen>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_type="method_call"/>
    <allow send_type="signal"/> <allow send_type="method_return"/> <allow send_type="error"/>
    <allow receive_type="method_call"/> <allow receive_type="signal"/>
    <allow receive_type="method_return"/> <allow receive_type="error"/>
  </policy>
</busconfig>
"""
_GANESHA = """\
NFS_CORE_PARAM {{ Protocols = 3, 4; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSV4 {{ Grace_Period = 1; Lease_Lifetime = {lease_s}; Graceless = true;
  Minor_Versions = 0, 1, 2; }}
EXPORT_DEFAULTS {{ Access_Type = RW; SecType = sys; }}
{exports}
%include "{place}/more.conf"
"""
EXPORT = """\
EXPORT {{ Export_Id = {number}; Path = {path}; Pseudo = {path}; Squash = {squash};
  Access_Type = {access}; FSAL {{ Name = VFS; }} {clients} }}
"""


class Ganesha:
    """The server, in a host of its own; `exports` is ganesha's own configuration."""

    def __init__(self, host: Host, place: Path, exports: str) -> None:
        need_root()
        need_program("ganesha.nfsd", "nfs-ganesha-vfs")
        need_program("rpcbind", "rpcbind")
        need_program("dbus-daemon", "dbus-daemon")
        self.host, self.place = host, place
        configure(place, exports)
        self._running: list[subprocess.Popen[bytes]] = []
        self.start()

    @property
    def bus(self) -> list[str]:
        """The beginning of a command that reaches the server's D-Bus."""
        return ["env", f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.place}/bus"]

    def start(self) -> None:
        """Start the server and what it needs; return once it serves."""
        place = self.place
        # rpcbind insists on /run: a mount namespace keeps it from this machine's own.
        private = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "-")
        bus = ("dbus-daemon", f"--config-file={place}/bus.conf", "--nofork", "--nopidfile")
        ganesha = ("ganesha.nfsd", "-F", "-f", f"{place}/ganesha.conf", "-p", f"{place}/pid")
        log = ("-L", f"{place}/ganesha.log", "-N", "NIV_EVENT")
        host = self.host
        self._running = [
            start(host.argv(*private, "rpcbind", "-f", "-w"), place / "out"),
            start(host.argv(*bus), place / "out"),
        ]
        until((place / "bus").exists, "the bus")
        environment = ("env", f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={place}/bus")
        self._running.append(
            start(host.argv(*private, *environment, *ganesha, *log), place / "out")
        )
        until(self._serves, "ganesha")

    def stop(self) -> None:
        """Kill the server and all it needs."""
        self.host.send(signal.SIGKILL)
        for process in self._running:
            process.wait()
        until(lambda: not self.host.processes(), "the end of ganesha")
        (self.place / "ganesha.log").unlink(missing_ok=True)
        (self.place / "bus").unlink(missing_ok=True)

    def _serves(self) -> bool:
        log = self.place / "ganesha.log"
        assert self.host.processes(), log.read_text()[-2000:] if log.exists() else "no log"
        return serves(self.place)


def configure(place: Path, exports: str, *, lease_s: int = 5) -> None:
    """Write what the server and its bus read; clients of version 4 are forgotten after lease_s."""
    (place / "more.conf").touch()
    (place / "bus.conf").write_text(_BUS.format(place=place))
    (place / "ganesha.conf").write_text(
        _GANESHA.format(exports=exports, place=place, lease_s=lease_s)
    )


def serves(place: Path) -> bool:
    """Say whether the server that logs there has come up."""
    log = place / "ganesha.log"
    return log.exists() and "NFS SERVER INITIALIZED" in log.read_text()


def export(
    number: int,
    path: Path,
    *,
    squash: str = "No_Root_Squash",
    access: str = "RW",
    clients: str = "",
) -> str:
    """Return the configuration of one export."""
    return EXPORT.format(number=number, path=path, squash=squash, access=access, clients=clients)
