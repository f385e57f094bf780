"""Services whose one task appends numbered lines to a volume, each made safe before it is told.

What a task tells goes to a directory outside all nodes, so that it is known whatever becomes of the
node: a line that was told there as written must never be missing. Each number is tried once.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.box import poll
from tests.e2e.engine import IMAGE
from tests.swarm.member import Member

PATIENCE_S = 150.0
"""How long to wait for what takes some seconds; no promise of volplug's."""

LOG = "/data/log"
_SCRIPT = r"""
[ "$DEAF" ] && trap '' TERM
number=0
while :; do
    number=$((number + 1))
    line="$WRITER $number"
    if echo "$line" | dd of=/data/log oflag=append conv=notrunc,fsync 2>/tmp/words; then
        echo "wrote $number" >>"/told/$WRITER"
        sleep 0.03
    else
        echo "failed $number $(tail -n 1 /tmp/words)" >>"/told/$WRITER"
        sleep 0.2
    fi
done
"""


@dataclass(frozen=True)
class Writer:
    """One task that writes, or wrote; `name` stands before each of its lines."""

    told: Path

    @property
    def name(self) -> str:
        """What its lines begin with."""
        return self.told.name

    @property
    def node(self) -> str:
        """The node that it ran on."""
        return self.name.split(".")[1]

    def acknowledged(self) -> list[str]:
        """Return the lines that it told to be safe."""
        return [f"{self.name} {number}" for number in self._told(r"wrote (\d+)")]

    def failures(self) -> list[str]:
        """Return what it told of writes that failed."""
        return self._told(r"failed \d+ (.*)")

    def goes_on(self, lines: int = 10) -> None:
        """Return once it has written some lines more."""
        count = len(self.acknowledged())
        awaited = f"{self.name} to write"
        poll(lambda: len(self.acknowledged()) >= count + lines, awaited, PATIENCE_S)

    def fails(self, times: int = 5) -> None:
        """Return once some more of its writes have failed."""
        count = len(self.failures())
        awaited = f"{self.name} to fail"
        poll(lambda: len(self.failures()) >= count + times, awaited, PATIENCE_S)

    def _told(self, what: str) -> list[str]:
        return re.findall(f"^{what}$", self.told.read_text(), re.MULTILINE)


class Service:
    """A service of one replica, with a volume of its own name."""

    def __init__(self, manager: Member, name: str, told: Path) -> None:
        self.manager, self.name, self._told = manager, name, told

    def create(self, node: Member, **options: str) -> Writer:
        """Create it, with options of `docker service create`; return its writer on the node."""
        plain = {"stop_signal": "SIGKILL", "restart_delay": "1s", "network": "host"}
        volume = f"type=volume,source={self.name},target=/data,volume-driver=volplug,volume-nocopy"
        deaf = "1" if "stop_grace_period" in options else ""
        # fmt: off
        self.manager.docker(
            "service", "create", "--detach", "--no-resolve-image", f"--name={self.name}",
            f"--mount={volume}", f"--mount=type=bind,source={self._told},target=/told",
            "--env=WRITER={{.Service.Name}}.{{.Node.Hostname}}.{{.Task.ID}}", f"--env=DEAF={deaf}",
            *(f"--{key.replace('_', '-')}={value}" for key, value in (plain | options).items()),
            IMAGE, "sh", "-c", _SCRIPT,
        ).ok()
        # fmt: on
        return self.writer_on(node)

    def update(self, *words: str) -> None:
        """Change it, and do not wait for the change."""
        self.manager.docker(
            "service", "update", "--detach", "--no-resolve-image", *words, self.name
        ).ok()

    def writers(self) -> list[Writer]:
        """Return all tasks that ever told anything."""
        return [Writer(file) for file in sorted(self._told.glob(f"{self.name}.*"))]

    def writer_on(self, node: Member) -> Writer:
        """Return the task that writes on a node, waiting until one does."""
        found: list[Writer] = []

        def writes() -> bool:
            found[:] = [one for one in self.writers() if one.node == node.name]
            return bool(found and found[-1].acknowledged())

        try:
            poll(writes, f"a task of {self.name} to write on {node.name}", PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.tasks()}") from None
        return found[-1]

    def tasks(self) -> str:
        """Return what the Swarm tells of its tasks, refusals in full."""
        return self.manager.docker("service", "ps", "--no-trunc", self.name).stdout

    def log(self, node: Member) -> list[str]:
        """Return the lines of the volume, as the task on a node reads them."""
        label = f"label=com.docker.swarm.service.name={self.name}"
        container = node.docker("ps", "--quiet", "--filter", label).ok()
        return node.docker("exec", container, "cat", LOG).ok().splitlines()

    def remove(self) -> None:
        """Remove it, and its volume once it is free."""
        self.manager.docker("service", "rm", self.name).ok()
        poll(
            lambda: self.manager.docker("volume", "rm", self.name).code == 0,
            f"volume {self.name} to be free",
            PATIENCE_S,
        )


def check_handed_over(log: list[str], *writers: Writer) -> None:
    """Fail unless all that was told to be safe is there, and no writer wrote after the next one."""
    order = [line.split()[0] for line in log]
    names = [one.name for one in writers]
    assert list(dict.fromkeys(order)) == names
    assert order == sorted(order, key=names.index), "somebody wrote after its successor did"
    for one in writers[:-1]:
        assert set(one.acknowledged()) <= set(log), f"lines of {one.name} are missing"
    for name in names:
        numbers = [int(line.split()[1]) for line in log if line.startswith(f"{name} ")]
        assert numbers == sorted(set(numbers)), f"lines of {name} are out of order"
