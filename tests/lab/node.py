"""A node: a guest with a Docker Engine and volplug, each started when it is told to.

Emulated, a docker command takes a second and a container two, so deadlines here are long; none of
them is a promise of volplug's.
"""

from tests.e2e.box import Result
from tests.lab.guest import Guest
from tests.lab.seed import IMAGE as IMAGE_FILE
from volplug import source as sources
from volplug.host import Filesystem
from volplug.source import Source

IMAGE = "lab"
PYTHON = ("/usr/lib64/ld-linux-x86-64.so.2", "/usr/bin/python3")
"""The guest's Python, in a container that has its /usr and nothing else of it."""
_SOCKET = "/run/docker/plugins/volplug.sock"
_CONFIG = "/etc/volplug/volplug.toml"
_START_S = 480.0
_CONTAINERD = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
# A Swarm's tasks take the image that is there: no registry is asked for it.
_DOCKERD = 'export DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1; until dockerd "$@"; do sleep 1; done'
_ENGINE = (
    "--containerd=/run/containerd/containerd.sock",
    *("--bridge=none", "--iptables=false", "--ip6tables=false", "--log-level=warn"),
    *("--add-runtime=crun=/usr/bin/crun", "--default-runtime=crun"),  # starts in half the time
)


class Node(Guest):
    """A machine that runs containers."""

    def start_nfs_client(self) -> None:
        """Start what version 3 needs beside the kernel, for its locks."""
        self.shell("pidof rpcbind >/dev/null || rpcbind -w")

    @property
    def initiator(self) -> str:
        """The name under which an iSCSI target knows the node."""
        return f"iqn.2024-01.com.example:{self.name}"

    def start_iscsi_client(self) -> None:
        """Start the initiator; it is logged in nowhere yet."""
        self.write("/etc/iscsi/initiatorname.iscsi", f"InitiatorName={self.initiator}\n")
        self.shell("modprobe -a iscsi_tcp sd_mod; mkdir -p /run/lock/iscsi; pidof iscsid || iscsid")

    def start_multipathd(self) -> None:
        """Join disks that are reached in several ways; multipathd knows them by what udev read."""
        self.shell(
            "modprobe -a dm_multipath dm_service_time; /usr/lib/systemd/systemd-udevd --daemon; "
            "udevadm trigger; udevadm settle"
        )
        self.start("multipathd", "multipathd", "-d", "-s")
        self.wait_for("multipathd show daemon", "multipathd to answer")

    def left_of_iscsi(self) -> list[str]:
        """List what the initiator has now: sessions, disks, and records of where to log in."""
        places = "/sys/class/iscsi_session/* /sys/block/sd* /var/lib/iscsi/nodes/*"
        return self.shell(f"ls -d {places} 2>/dev/null || true").split()

    def start_daemons(self, config: str = "") -> None:
        """Start volplug with this configuration file, and dockerd, but do not wait for them."""
        self.start_volplug(config)
        # A containerd of its own is given 15 s by dockerd, and killed: too few where all are busy.
        self.write("/etc/containerd/config.toml", _CONTAINERD)
        self.start("containerd", "containerd", "--log-level=warn")
        self.start("dockerd", "sh", "-c", _DOCKERD, "sh", *_ENGINE)

    def wait_for_daemons(self) -> None:
        """Return when volplug and dockerd answer, and the image for containers is there."""
        self.wait_for("docker version >/dev/null", "dockerd to answer", _START_S)
        self.docker("import", "--change", 'CMD ["sh"]', IMAGE_FILE, IMAGE).ok()
        self.wait_for(f"volplug ls --socket {_SOCKET} >/dev/null", "volplug to answer", _START_S)

    def start_volplug(self, config: str = "") -> None:
        """Start `volplug serve` with this configuration file; it answers some seconds later."""
        self.write(_CONFIG, config)
        self.start("volplug", "volplug", "serve", "--config", _CONFIG)

    def start_container(self, name: str, volume: str, *argv: str) -> None:
        """Start a container with a volume at /data, and the guest's own Python; do not wait.

        What it prints is printed here, each line after the container's name.
        """
        # fmt: off
        self.start(
            name, "docker", "run", "--rm", "--name", name, "--network=none", "--stop-signal=KILL",
            "-v", f"{volume}:/data", "-v", "/usr:/usr:ro", "-v", "/seed:/seed:ro",
            IMAGE, *argv,
        )
        # fmt: on

    def docker(self, *words: str, seconds: float = 240) -> Result:
        """Run the docker client."""
        return self.run("docker", *words, seconds=seconds)

    def volplug(self, *words: str) -> Result:
        """Run a command of volplug's against the one that serves here."""
        return self.run(*self.volplug_words(*words))

    @staticmethod
    def volplug_words(*words: str) -> tuple[str, ...]:
        """Return the whole command line of a command of volplug's."""
        return ("volplug", *words, "--socket", _SOCKET)

    def stage(
        self, name: str, source: Source, known: Filesystem | None = None, seconds: float = 120
    ) -> Result:
        """Stage a volume with the Linux host alone, which knows that of its file system.

        Prints the volume's directory, and as an error what is to be remembered of its file system.
        """
        words = (known.formatted, known.fstype, known.uuid) if known else ()
        return self._host("stage", name, sources.to_json(source), *words, seconds=seconds)

    def unstage(self, name: str, seconds: float = 120) -> Result:
        """Take a volume that was staged alone down again."""
        return self._host("unstage", name, seconds=seconds)

    def _host(self, *words: str, seconds: float) -> Result:
        return self.run("python3", "/seed/host.py", *words, seconds=seconds)

    def in_container(self, volume: str, script: str, seconds: float = 240) -> Result:
        """Run lines of shell in a container of its own that has the volume at /data."""
        words = ("run", "--rm", "--network=none", "-v", f"{volume}:/data")
        return self.docker(*words, IMAGE, "sh", "-euc", script, seconds=seconds)
