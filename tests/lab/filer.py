"""A file server that can refuse one node: nfs-ganesha, beside the guests in the lab's own network.

It runs on this machine's kernel and not on an emulated one, so it is quick, and it is told what to
do as an operator's would be: over ssh, to a D-Bus that does not leave it.
"""

import shutil
import subprocess
from pathlib import Path

from tests.e2e.box import PATH, Box, poll
from tests.machine import need_program
from tests.rigs import ganesha

_SERVE_S = 60.0
_LEASE_S = 60  # as it is by default: an emulated client is too slow for much less
_CLIENTS = "CLIENT {{ Clients = {network}; Access_Type = RW; Squash = No_Root_Squash; }}"
_SSHD = """\
ListenAddress {address}
HostKey {place}/host_key
AuthorizedKeysFile {place}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
SetEnv DBUS_SYSTEM_BUS_ADDRESS=unix:path={place}/bus
"""


class Filer:
    """The server; `key` opens it for those who may give it orders."""

    def __init__(self, box: Box, address: str, network: str, public_key: Path) -> None:
        need_program("ganesha.nfsd", "nfs-ganesha-vfs")
        need_program("rpcbind", "rpcbind")
        need_program("dbus-daemon", "dbus-daemon")
        need_program("dbus-send", "dbus-bin")
        self.address = address
        self._box = box
        self._place = box.directory / "filer"
        self.pool = self._place / "pool"
        listed = self.pool / ".volplug/exports/all.conf"
        listed.parent.mkdir(parents=True)
        listed.touch()
        shutil.copy(public_key, self._place / "authorized_keys")
        self._environment = {
            "PATH": PATH,
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self._place}/bus",
        }
        self._serve_orders()
        self._serve_files(
            ganesha.export(1, self.pool, access="NONE", clients=_CLIENTS.format(network=network))
            + f'%include "{listed}"\n'
        )

    def find(self, name: str) -> Path:
        """Return the one file of that name in the volumes, as it is on the server's own disk."""
        (found,) = (path for path in self.pool.rglob(name) if ".volplug" not in path.parts)
        return found

    def _serve_orders(self) -> None:
        sshd = need_program("sshd", "openssh-server")
        key, config = self._place / "host_key", self._place / "sshd_config"
        keygen = need_program("ssh-keygen", "openssh-client")
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        config.write_text(_SSHD.format(address=self.address, place=self._place))
        self._box.run(["mkdir", "-p", "/run/sshd"], self._environment).ok()
        self._start("sshd", str(sshd), "-D", "-e", "-f", str(config))

    def _serve_files(self, exports: str) -> None:
        place = self._place
        ganesha.configure(place, exports, lease_s=_LEASE_S)
        self._start("rpcbind", "rpcbind", "-f", "-w")
        self._start(
            "dbus", "dbus-daemon", f"--config-file={place}/bus.conf", "--nofork", "--nopidfile"
        )
        poll((place / "bus").exists, "the file server's bus", _SERVE_S)
        # fmt: off
        self._start(
            "ganesha", "ganesha.nfsd", "-F", "-f", f"{place}/ganesha.conf", "-p", f"{place}/pid",
            "-L", f"{place}/ganesha.log", "-N", "NIV_EVENT",
        )
        # fmt: on
        poll(lambda: ganesha.serves(place), "the file server to serve", _SERVE_S)

    def _start(self, name: str, *argv: str) -> None:
        self._box.start(name, list(argv), self._environment)
