"""A node under test: a box with a real Docker Engine and volplug in it.

containerd runs apart from dockerd, as packages set it up, so that `kill -9` of the engine leaves
the containers running; that, and not the orderly stop, is where engines lose Unmounts
(docker-contract 3.2). volplug runs in the same PID and mount namespaces as the engine, so that its
scan of /proc sees the containers. Stages of a life: power_on, start_volplug, start_engine, ...,
reboot, ..., power_off.
"""

import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM

from tests.e2e.box import PATH, Box, Process, Result, poll, remove_cgroups, remove_tree
from tests.e2e.image import busybox_tree
from tests.machine import need_program, need_root

IMAGE = "volplug-e2e"
_VOLPLUG = Path(sys.executable).with_name("volplug")

# Only what dockerd asks for: each plugin left out is start-up time.
_CONTAINERD = """
version = 2
root = "{directory}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "/run/containerd/containerd.sock"
"""


def need_engine() -> None:
    """Skip the test unless this machine can run a Docker Engine of our own."""
    need_root()
    need_program("dockerd", "docker.io")
    need_program("docker", "docker-cli")
    need_program("busybox", "busybox-static")
    for program, package in (("losetup", "mount"), ("mount", "mount"), ("ps", "procps")):
        need_program(program, package)


class Node:
    """A machine with a name, a disk, an engine and volplug, which can be killed in every way."""

    engine: Process
    containerd: Process
    volplug: Process

    def __init__(self, name: str = "node-1", machine: Path | None = None) -> None:
        """Power it on; `machine` holds the identity of its hardware and disk, if not ours."""
        self.name = name
        self.machine = machine
        self.directory = Path(tempfile.mkdtemp(prefix="volplug-e2e-"))
        self.cgroup = f"volplug-e2e-{uuid.uuid4().hex[:8]}"
        self.socket = Path("/run/docker/plugins/volplug.sock")
        self.state = self.directory / "volplug"
        self.box = Box(self.directory, name, machine)

    # The machine.

    def reboot(self) -> None:
        """Cut the power and boot anew: all processes, mounts and /run are gone, the disk stays."""
        self.box.off()
        self.box = Box(self.directory, self.name, self.machine)

    def power_off(self) -> None:
        """Cut the power and leave nothing behind. The logs are gone too."""
        self.box.off()
        remove_cgroups(self.cgroup)
        remove_tree(self.directory)

    def run(self, *argv: str, stdin: str = os.devnull, seconds: float = 60) -> Result:
        """Run a command on the node."""
        return self.box.run(list(argv), self._environment, stdin, seconds)

    @property
    def _environment(self) -> dict[str, str]:
        host = {"DOCKER_HOST": "unix:///run/docker.sock", "HOME": str(self.directory)}
        return host | {"PATH": PATH, "LC_ALL": "C"}

    def logs(self) -> str:
        """Return the last words of every daemon, for the report of a failed test."""
        parts = []
        for log in sorted(self.directory.glob("*.log")):
            text = log.read_text(errors="replace")
            lines = [line for line in text.splitlines() if "module=grpc" not in line]
            parts.append("\n".join([f"--- {log.stem}: {len(lines)} lines", *lines[-60:]]))
        return "\n".join(parts)

    # The engine.

    def start_engine(self, *options: str) -> None:
        """Start containerd if need be and dockerd; return when the engine answers."""
        if not self.box.answers(Path("/run/containerd/containerd.sock")):
            self._start_containerd()
        settings = self.directory / "daemon.json"
        settings.write_text("{}")
        # fmt: off
        self.engine = self.box.start("dockerd", [
            "dockerd", f"--config-file={settings}", f"--data-root={self.directory}/docker",
            "--host=unix:///run/docker.sock", f"--host=unix://{self.directory}/docker.sock",
            "--exec-root=/run/docker", "--pidfile=/run/docker.pid", "--bridge=none",
            "--containerd=/run/containerd/containerd.sock", "--iptables=false",
            f"--cgroup-parent=/{self.cgroup}", "--exec-opt=native.cgroupdriver=cgroupfs",
            f"--storage-driver={self._storage_driver}", "--oom-score-adjust=0", *options,
        ], self._environment | {"DOCKER_SERVICE_PREFER_OFFLINE_IMAGE": "1"})
        # fmt: on
        self._await(self.engine, lambda: self.docker("version").code == 0, seconds=60)
        if self.docker("image", "inspect", IMAGE).code != 0:
            self._import_image()

    def _start_containerd(self) -> None:
        settings = self.directory / "containerd.toml"
        settings.write_text(_CONTAINERD.format(directory=self.directory))
        argv = ["containerd", f"--config={settings}"]
        self.containerd = self.box.start("containerd", argv, self._environment)
        socket = Path("/run/containerd/containerd.sock")
        self._await(self.containerd, lambda: self.box.answers(socket), seconds=30)

    @property
    def _storage_driver(self) -> str:
        """overlay2, or vfs where the disk is itself an overlay, as inside a container."""
        kind = self.run("stat", "--file-system", "--format=%T", str(self.directory)).ok()
        return "vfs" if kind == "overlayfs" else "overlay2"

    def _import_image(self) -> None:
        tar = self.directory / "image.tar"
        busybox_tree(need_program("busybox", "busybox-static"), tar)
        self.docker("import", "--change", 'CMD ["sh"]', str(tar), IMAGE).ok()
        tar.unlink()

    def docker(self, *words: str, stdin: str = os.devnull, seconds: float = 60) -> Result:
        """Run the docker client against the node's engine."""
        return self.run(
            "docker", "--host=unix:///run/docker.sock", *words, stdin=stdin, seconds=seconds
        )

    def keep_running(self, name: str, volume: str, *options: str) -> None:
        """Start the container VOLUME-NAME, which has the volume at /data and does nothing.

        The engine stops it with SIGKILL, at once: sleep as PID 1 would not hear SIGTERM for 10 s.
        """
        known = (f"--name={volume}-{name}", "--stop-signal=SIGKILL", "-v", f"{volume}:/data")
        self.docker("run", "--detach", *known, *options, IMAGE, "sleep", "100000").ok()

    def kill_engine(self) -> None:
        """Send dockerd SIGKILL; its containers live on."""
        self.engine.kill(SIGKILL)
        self.engine.wait()

    def stop_engine(self) -> None:
        """Stop dockerd in order, which stops its containers and sends their Unmounts."""
        self.engine.kill(SIGTERM)
        self.engine.wait(60)

    # volplug.

    def start_volplug(self, **env: str) -> None:
        """Start `volplug serve` with these settings besides; return when it can be dialled."""
        settings = {
            "VOLPLUG_SOCKET": str(self.socket),
            "VOLPLUG_STATE_DIR": str(self.state),
            "VOLPLUG_WAIT_S": "2",  # a refusal is awaited in many tests, a release in none
        }
        environment = self._environment | settings | env
        self.volplug = self.box.start("volplug", [str(_VOLPLUG), "serve"], environment)
        self._await(self.volplug, lambda: self.box.answers(self.socket), seconds=20)

    def volplug_command(self, *words: str) -> Result:
        """Run a command of volplug's against the one that serves here."""
        return self.run(str(_VOLPLUG), *words, "--socket", str(self.socket))

    def kill_volplug(self) -> None:
        """Send SIGKILL to every process of volplug."""
        self.volplug.kill(SIGKILL, group=True)
        self.volplug.wait()

    def stop_volplug(self) -> None:
        """Stop volplug in order; fail the test if that takes more than the 10 s it may."""
        self.volplug.kill(SIGTERM)
        self.volplug.wait(11)

    def _await(self, process: Process, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until a daemon is there, or fail the test at once if it has ended."""

        def there_or_ended() -> bool:
            return process.code is not None or condition()

        poll(there_or_ended, f"{process.name} to answer", seconds)
        words = process.log.read_text(errors="replace")[-2000:]
        assert process.code is None, f"{process.name} ended with code {process.code}:\n{words}"
