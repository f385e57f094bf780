"""Tests of the node under test itself, with the engine's own volumes: it must not lie to us."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.box import poll
from tests.e2e.engine import IMAGE, Node, need_engine
from tests.e2e.image import SEED, SEED_TEXT, SEED_UID

pytestmark = [pytest.mark.engine, pytest.mark.root]

FOREVER = ("--stop-signal=SIGKILL", IMAGE, "sleep", "100000")


def test_the_image_has_a_seed(bare_node: Node, name: str) -> None:
    """An empty volume gets the files and the owner of the image's directory."""
    show = ("sh", "-c", f"cat {SEED}/text; stat -c %u {SEED}")
    printed = bare_node.docker("run", "--rm", "-v", f"{name}:{SEED}", IMAGE, *show).ok()
    assert printed == f"{SEED_TEXT}{SEED_UID}"


def test_a_mount_of_the_node_reaches_a_container(bare_node: Node, name: str) -> None:
    """What is mounted on the node after the engine's start is seen through a bind mount."""
    directory = bare_node.directory / name
    directory.mkdir()
    bare_node.run("mount", "-t", "tmpfs", "tmpfs", str(directory)).ok()
    (bare_node.directory / "word").write_text("mounted")
    bare_node.run("cp", f"{bare_node.directory}/word", f"{directory}/word").ok()
    mounted = bare_node.docker("run", "--rm", "-v", f"{directory}:/d", IMAGE, "cat", "/d/word")
    assert mounted.ok() == "mounted"
    assert not (directory / "word").exists(), "the host must not see the node's mounts"


def test_a_container_survives_the_kill_of_its_engine(bare_node: Node, name: str) -> None:
    """After SIGKILL of dockerd the container runs on; the engine stops it when it is back."""
    bare_node.docker("run", "-d", f"--name={name}", *FOREVER).ok()
    inspect = ("inspect", "-f", "{{.State.Pid}} {{.State.Running}}", name)
    pid, running = bare_node.docker(*inspect).ok().split()
    assert running == "true"
    bare_node.kill_engine()
    assert bare_node.docker("version").code != 0
    bare_node.run("kill", "-0", pid).ok()
    bare_node.start_engine()
    assert bare_node.docker(*inspect).ok() == "0 false"


def test_a_reboot_ends_everything_but_the_disk(bare_node: Node, name: str) -> None:
    """After a reboot the boot ID is new, no process and no mount is left, the volumes are there."""
    keep = ("run", "--rm", "-v", f"{name}:/data", IMAGE)
    bare_node.docker(*keep, "sh", "-c", "echo kept > /data/file").ok()
    bare_node.docker("run", "-d", f"--name={name}", *FOREVER).ok()
    boot_id = bare_node.run("cat", "/proc/sys/kernel/random/boot_id").ok()
    bare_node.reboot()
    assert bare_node.run("cat", "/proc/sys/kernel/random/boot_id").ok() != boot_id
    assert "docker" not in bare_node.run("ls", "/run").ok()
    assert "sleep" not in bare_node.run("ps", "-e", "-o", "comm=").ok()
    bare_node.start_engine()
    assert bare_node.docker(*keep, "cat", "/data/file").ok() == "kept"


def test_nothing_is_left_behind() -> None:
    """After power_off no process, loop device, cgroup or file of the node exists on the host."""
    need_engine()
    node = Node("node-9")
    try:
        node.start_engine()
        node.docker("run", "-d", *FOREVER).ok()
        backing = node.directory / "disk"
        backing.touch()
        os.truncate(backing, 1 << 20)
        device = node.run("losetup", "--find", "--show", str(backing)).ok()
    finally:
        node.power_off()
    assert not Path(f"/sys/block/{Path(device).name}/loop/backing_file").exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{node.cgroup}"))
    assert not node.directory.exists()
    everybody = subprocess.run(
        ["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True
    )
    assert str(node.directory) not in everybody.stdout


def test_a_node_ends_with_its_tests(tmp_path: Path) -> None:
    """When the process that made it is killed, the node goes too."""
    need_engine()
    script = tmp_path / "make_a_node.py"
    script.write_text(
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from tests.e2e.box import Box\n"
        f"box = Box(Path({str(tmp_path)!r}), 'node-8')\n"
        "box.start('sleep', ['sleep', '100000'], {})\n"
        "print(box.run(['sh', '-c', 'echo up'], {}).ok(), flush=True)\n"
        "signal.pause()\n"
    )
    root = Path(__file__).parents[2]
    maker = subprocess.Popen(
        ["env", f"PYTHONPATH={root}", sys.executable, script],
        stdout=subprocess.PIPE,
        text=True,
    )
    with maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "up\n"
        maker.kill()
    first = f"node-8 {tmp_path}"
    poll(lambda: first not in _arguments_of_all(), "the node to end", seconds=10)


def _arguments_of_all() -> str:
    everybody = subprocess.run(
        ["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True
    )
    return everybody.stdout
