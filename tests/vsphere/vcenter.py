"""A strict vCenter on loopback; vcsim/main.go says what it keeps of the real one, and what not.

It is built from the sources of govmomi that Debian packages. Beside the API it has a page for the
test itself, which tells all that there is and makes trouble; no client knows of it.
"""

import json
import os
import socket
import ssl
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.machine import need_directory, need_program
from tests.rigs.network import until
from volplug.sdk import Secret, Size
from volplug_vsphere import VsphereConfig, VsphereDriver

_SOURCES = Path(__file__).parent / "vcsim"
_GOPATH = Path("/usr/share/gocode")
NODES = ("DC0_H0_VM0", "DC0_H0_VM1", "DC0_C0_RP0_VM0")


def build(place: Path) -> Path:
    """Compile the simulator; some seconds, the first time half a minute."""
    go = need_program("go", "golang-go")
    need_directory(
        _GOPATH / "src/github.com/vmware/govmomi/simulator", "golang-github-vmware-govmomi-dev"
    )
    binary = place / "vcsim"
    words = {"GO111MODULE": "off", "GOPATH": str(_GOPATH), "GOFLAGS": "-p=2"}
    words.setdefault("GOCACHE", os.environ.get("GOCACHE", str(Path.home() / ".cache/go-build")))
    done = subprocess.run(
        [go, "build", "-o", binary, "."], cwd=_SOURCES, env=os.environ | words,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return binary


class Vcenter:
    """A running simulator."""

    def __init__(self, port: int, certificate: Path) -> None:
        self.server = f"127.0.0.1:{port}"
        self.certificate = certificate
        self._trust = ssl.create_default_context(cafile=certificate)
        self.password = certificate.with_name("password")
        self.password.write_text("s3cret\n")

    def driver(self, node: str = NODES[0], **changes: Any) -> VsphereDriver:
        """Return a driver that takes itself to be on one of the machines."""
        settings: dict[str, Any] = {
            "server": self.server,
            "user": "volplug",
            "password": Secret(f"file:{self.password}"),
            "datacenter": "DC0",
            "datastore": "LocalDS_0",
            "ca_file": self.certificate,
            "vm_uuid": self.uuid(node),
            "default_size": Size.parse("1G"),
        }
        return VsphereDriver(VsphereConfig(**settings | changes))

    def tell(self, **order: Any) -> dict[str, Any]:
        """Change something behind the back of every client; return all that there is then."""
        data = json.dumps(order).encode()
        request = urllib.request.Request(f"https://{self.server}/test", data)
        with urllib.request.urlopen(request, context=self._trust) as answer:  # noqa: S310  the same
            state: dict[str, Any] = json.load(answer)
        return state

    def trouble(self, kind: str, method: str = "", times: int = 1) -> None:
        """Let the next calls of a method, or of any, meet trouble."""
        self.tell(trouble={"method": method, "kind": kind, "times": times})

    def uuid(self, machine: str) -> str:
        """Return a machine's BIOS UUID."""
        return str(self.tell()["machines"][machine]["uuid"])

    def power(self, machine: str) -> str:
        """Return whether a machine runs."""
        return str(self.tell()["machines"][machine]["power"])

    def power_on(self, machine: str) -> None:
        """Switch a machine on, as its administrator does."""
        uuid = self.uuid(machine)

        def switch_on(content: Any) -> None:
            content.searchIndex.FindByUuid(None, uuid, True, False).PowerOnVM_Task()

        self.driver(machine)._session.steadily(switch_on)
        until(lambda: self.power(machine) == "poweredOn", f"{machine} to be on")

    def disks(self) -> list[dict[str, Any]]:
        """List the first class disks."""
        return list(self.tell()["disks"].values())

    def files(self) -> list[str]:
        """List the files of disks that drivers made."""
        return sorted(self.tell()["files"])

    def nothing(self) -> bool:
        """Whether no volume has left anything."""
        return not self.files() and not self.disks()

    def calls(self) -> Counter[str]:
        """Count the calls so far, by method."""
        return Counter(self.tell()["calls"])


@contextmanager
def running(
    binary: Path, place: Path, door: socket.socket | None = None, hypervisor: Path | None = None
) -> Iterator[Vcenter]:
    """Give the block a vCenter of its own, which ends with it, or with this process.

    It also serves at a door, and may have a hypervisor.
    """
    certificate = place / "vcenter.pem"
    words = ["-door", str(door.fileno())] if door else []
    words += ["-hypervisor", str(hypervisor)] if hypervisor else []
    with subprocess.Popen(
        [binary, "-certificate", certificate, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        pass_fds=[door.fileno()] if door else [],
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdin
        try:
            yield Vcenter(int(process.stdout.readline()), certificate)
        finally:
            process.stdin.close()
            process.wait(10)
