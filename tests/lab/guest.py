"""One guest: an emulated machine with a stock kernel, driven over ssh and QEMU's own protocol.

It boots while its owner goes on; the first command waits until it is up. Two cables lead to it: one
for its remote control, and one for all else, which can be pulled without losing the guest. Nothing
needs to be shut down: its memory and its writes end with its process.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.e2e.box import PATH, Box, Result, poll
from tests.lab.disks import Disks
from tests.lab.firmware import firmware
from tests.lab.image import Image
from tests.lab.qmp import Qmp
from tests.lab.seed import Seed

ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C"}
BOOT_S = 240.0
_UP = "lab: this guest is up"
_CABLES = ("control", "lan")
# What a kernel on an emulated processor can do without.
_KERNEL_WORDS = (
    "console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off nokaslr norandmaps nowatchdog "
    "no_timer_check tsc=reliable rcupdate.rcu_cpu_stall_suppress=1 audit=0 apparmor=0 selinux=0"
)


@dataclass(frozen=True, slots=True)
class Room:
    """What the guests of a lab share: a network of their own, the image, the seed, the key."""

    box: Box
    directory: Path
    image: Image
    seed: Seed


class Guest:
    """A guest that is switched on when it is made; `number` is the last part of its addresses."""

    def __init__(self, room: Room, name: str, number: int, memory_mib: int) -> None:
        self.name = name
        self.address = f"10.77.0.{number}"
        self.uuid = f"42000000-0000-4000-8000-{number:012}"
        self._room = room
        self._number = number
        self._memory_mib = memory_mib
        self._console = room.directory / f"{name}.console"
        self.has_power = False
        self.power_on()

    # Power and cables.

    def power_on(self) -> None:
        """Switch it on, also after a power cut: as new, for all it had was in its memory."""
        assert not self.has_power
        self._up, self.has_power = False, True
        room, qmp = self._room, self._room.directory / f"{self.name}.qmp"
        for cable in _CABLES:
            tap = f"{cable}{self._number}"
            self._ip("tuntap", "add", tap, "mode", "tap")
            self._ip("link", "set", tap, "master", cable, "up")
        self._qemu = room.box.start(f"qemu-{self.name}", self._argv(qmp), ENVIRONMENT)
        self._await(lambda: room.box.answers(qmp), "QEMU to answer", 60)
        self._qmp = Qmp(qmp)
        self.disks = Disks(self._qmp)

    def wait_up(self) -> None:
        """Return when the guest can be told what to do; fail the test if it never can."""
        if not self._up:
            self._await(lambda: _UP in self.said(), "the guest to be up", BOOT_S)
            self._await(lambda: self._ssh("true").code == 0, "the guest to let us in", BOOT_S)
            self._up = True

    def power_off(self) -> None:
        """Cut the power: nothing is written back, and nobody is told."""
        self._up = self.has_power = False
        self.disconnect()
        self._qemu.kill()
        self._qemu.wait()
        self._room.box.run([*self._ssh_words(), "-O", "exit", "guest"], ENVIRONMENT)
        for cable in _CABLES:
            self._ip("link", "delete", f"{cable}{self._number}")

    def disconnect(self) -> None:
        """Let go of QEMU, which goes on. Repeating does nothing."""
        self._qmp.close()

    def pause(self) -> None:
        """Stop the guest's processor until `resume`; it answers nothing and knows nothing of it."""
        self._qmp.call("stop")

    def resume(self) -> None:
        """Let the guest's processor go on."""
        self._qmp.call("cont")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the guest's processor stopped inside the block."""
        self.wait_up()
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def unplug_cable(self) -> None:
        """Pull the cable to the other guests; that of the remote control stays."""
        self.wait_up()
        self._qmp.call("set_link", name="lan", up=False)

    def plug_cable(self) -> None:
        """Put the cable to the other guests back."""
        self._qmp.call("set_link", name="lan", up=True)

    # Commands.

    def run(self, *argv: str, stdin: str = "/dev/null", seconds: float = 120) -> Result:
        """Run a program in the guest."""
        self.wait_up()
        return self._ssh(*argv, stdin=stdin, seconds=seconds)

    def shell(self, script: str, *arguments: str, seconds: float = 120) -> str:
        """Run lines of shell in the guest and return what they print; fail the test if they fail.

        The arguments are $0, $1 and so on.
        """
        return self.run("sh", "-euc", script, *arguments, seconds=seconds).ok()

    def write(self, path: str, text: str) -> None:
        """Write a file in the guest, in a directory that is made if need be."""
        draft = self._room.directory / f"{self.name}.draft"
        draft.write_text(text)
        script = 'mkdir -p "$(dirname "$0")"; cat >"$0"'
        self.run("sh", "-euc", script, path, stdin=str(draft)).ok()

    def start(self, name: str, *argv: str) -> None:
        """Start a daemon in the guest; its words go to the console."""
        self.run("daemon", name, *argv).ok()

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal to a daemon and all that it started."""
        self.shell(f"kill -s {signal} -- -$(cat /run/daemon.{name})")

    def wait_for(self, script: str, awaited: str, seconds: float = 120) -> None:
        """Return once lines of shell succeed in the guest; fail the test if they never do."""
        argv = ("sh", "-euc", script)  # one try may take as long as all of them
        awaited = f"{self.name}: {awaited}"
        poll(lambda: self.run(*argv, seconds=seconds).code == 0, awaited, seconds)

    def said(self) -> str:
        """Return what the guest's kernel and daemons printed."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def _ssh(self, *argv: str, stdin: str = "/dev/null", seconds: float = 60) -> Result:
        """Run a program through the one connection, which the first command opens."""
        command = shlex.join(["env", f"PATH={PATH}", "LC_ALL=C", "HOME=/root", *argv])
        ssh = [*self._ssh_words(), f"root@10.66.0.{self._number}", command]
        return replace(self._room.box.run(ssh, ENVIRONMENT, stdin, seconds), argv=argv)

    def _ssh_words(self) -> list[str]:
        # fmt: off
        return [
            "ssh", "-q", "-F", "none", "-i", str(self._room.seed.key),
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "ControlMaster=auto", "-o", f"ControlPath={self._room.directory}/{self.name}.ssh",
            "-o", "ControlPersist=yes", "-o", "ConnectTimeout=30",
            "-o", "KexAlgorithms=curve25519-sha256",
        ]
        # fmt: on

    def _ip(self, *words: str) -> None:
        self._room.box.run(["ip", *words], ENVIRONMENT).ok()

    def _await(self, condition: Callable[[], bool], awaited: str, seconds: float) -> None:
        """Wait for something of the guest, or fail the test at once if it has ended."""
        poll(lambda: self._qemu.code is not None or condition(), f"{self.name}: {awaited}", seconds)
        words = self._qemu.log.read_text(errors="replace")[-2000:]
        assert self._qemu.code is None, f"{self.name} ended: {words}{self.said()[-2000:]}"

    def _argv(self, qmp: Path) -> list[str]:
        room, number = self._room, self._number
        words = f"{_KERNEL_WORDS} {_tsc_word()} lab.name={self.name} lab.number={number}"
        # fmt: off
        argv = [
            "qemu-system-x86_64", "-name", self.name, "-machine", "q35", "-cpu", "max",
            "-accel", "tcg,thread=multi", "-m", str(self._memory_mib),
            "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot",
            "-chardev", f"file,id=console,path={self._console},append=on",
            "-serial", "chardev:console", "-qmp", f"unix:{qmp},server=on,wait=off",
            "-kernel", str(room.image.kernel), "-initrd", str(room.image.initrd), "-append", words,
            "-device", "virtio-rng-pci", "-uuid", self.uuid, "-smbios", firmware(self.uuid),
        ]
        for disk, path in (("root", room.image.root), ("seed", room.seed.disk)):
            drive = f"file={path},if=none,id={disk},format=raw,readonly=on"
            argv += ["-drive", drive, "-device", f"virtio-blk-pci,drive={disk}"]
        for cable, kind in zip(_CABLES, ("66", "77"), strict=True):
            device = f"virtio-net-pci,netdev={cable},mac=52:54:00:00:{kind}:{number:02x},romfile="
            tap = f"tap,id={cable},ifname={cable}{number},script=no,downscript=no"
            argv += ["-netdev", tap, "-device", device]
        # fmt: on
        return argv + Disks.places()


def _tsc_word() -> str:
    """Spare the kernel measuring its clock: an emulated processor's runs at the rate of ours."""
    found = re.search(r"bogomips\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())
    return f"tsc_early_khz={float(found[1]) * 500:.0f}" if found else ""
