"""volplug and the engine die together, at every step of a volume's life.

The life is what people do: create a volume, run a container that writes, remove both. When volplug
passes the step it is killed, and dockerd with it; both are started again, and whatever the life had
reached must still be so.
"""

import re

import pytest

from tests.crashpoints import crashpoints
from tests.e2e.box import Process, poll
from tests.e2e.engine import IMAGE, Node
from volplug.crashpoint import VARIABLE

pytestmark = [pytest.mark.engine, pytest.mark.root]

LIFE = f"""
docker volume create -d volplug -o backend=loop -o size=32M $0 && echo created &&
docker run --name $0 -v $0:/data {IMAGE} sh -c 'echo precious > /data/file; sync' && echo written &&
docker rm $0 && echo stopped && docker volume rm $0 && echo removed
"""


def workers(node: Node) -> int:
    """Count the workers that volplug ever started."""
    return node.volplug.log.read_text(errors="replace").count("Booting worker")


def live(node: Node, name: str, crashpoint: str) -> list[str]:
    """Begin a life with a volplug that dies at the step, kill both there; return what was done."""
    node.kill_volplug()
    node.start_volplug(**{VARIABLE: crashpoint, "VOLPLUG_GRACE_S": "1"})
    before = workers(node)
    life: Process = node.box.start(f"life-{name}", ["sh", "-c", LIFE, name], node._environment)
    poll(lambda: workers(node) > before or life.code is not None, "its death", seconds=60)
    assert workers(node) > before, f"never passed there: {life.log.read_text()}"
    node.kill_engine()
    node.kill_volplug()
    life.wait(60)
    return re.findall(r"^(created|written|stopped|removed)$", life.log.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "crashpoint", [name for name in crashpoints() if not name.startswith("expand")]
)
def test_nothing_is_lost_when_both_die_at(restless_node: Node, name: str, crashpoint: str) -> None:
    """What the life was told is true afterwards, and the volume can go on or go away."""
    node = restless_node
    done = live(node, name, crashpoint)
    node.start_volplug(VOLPLUG_GRACE_S="1")
    node.start_engine()
    node.docker("rm", "-f", name)
    exists = node.docker("volume", "inspect", name).code == 0
    assert exists or "created" not in done or "stopped" in done
    assert not (exists and "removed" in done)
    if exists and not crashpoint.startswith("delete"):
        run = ("run", "--rm", "-v", f"{name}:/data", IMAGE, "cat", "/data/file")
        # What was not acknowledged may have been written all the same: both died after it.
        found = node.docker(*run).stdout.strip()
        assert found == "precious" if "written" in done else found in ("", "precious")
    # A mount whose container never came to be bars the removal for its grace.
    remove = ("volume", "rm", "-f", name)
    poll(lambda: node.docker(*remove).code == 0, "the removal", seconds=30)
    assert node.docker("volume", "inspect", name).code != 0
    poll(
        lambda: node.volplug_command("leases").ok().strip() == "[]",
        "the lease's release",
        seconds=30,
    )
    assert str(node.state) not in node.run("losetup", "--list").ok()
