"""volplug as a managed plugin: built by `make plugin`'s code, run by a real engine."""

from pathlib import Path

import pytest

from deploy.base import Debian, Image
from deploy.plugin import CACHE, build
from tests.e2e.box import poll
from tests.e2e.engine import IMAGE, Node
from tests.machine import need_program

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def plugin_node(bare_node: Node) -> Node:
    """Lend the module's node with the plugin created, its state on the node's disk, and enabled."""
    need_program("debootstrap", "debootstrap")
    build(Debian(CACHE), bare_node.directory / "build")
    state = bare_node.directory / "var-lib/volplug"
    state.mkdir(parents=True)
    (state / "volplug.toml").write_text("grace_s = 1\nwait_s = 2\n")
    install(bare_node)
    return bare_node


def install(node: Node) -> None:
    """Create the plugin that was built for this node, and enable it."""
    plugin, state = node.directory / "build/plugin", node.directory / "var-lib"
    node.docker("plugin", "create", "volplug", str(plugin), seconds=120).ok()
    settings = (f"state.source={state}", "VOLPLUG_CONFIG=/var/lib/volplug/volplug.toml")
    node.docker("plugin", "set", "volplug", *settings).ok()
    node.docker("plugin", "enable", "--timeout=0", "volplug").ok()


def test_the_dockerfile_makes_the_same(
    bare_node: Node, plugin_node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With BASE the Dockerfile builds, without a network, what is installed without BASE."""
    bare_node.docker("import", str(Debian(CACHE).tar), "debian-base", seconds=120).ok()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{bare_node.directory}/docker.sock")
    built = build(Image("debian-base"), bare_node.directory / "by-dockerfile")
    assert installed(built) == installed(plugin_node.directory / "build/plugin")
    without_docker = plugin_node.directory / "build/plugin"
    assert (built / "config.json").read_text() == (without_docker / "config.json").read_text()


def installed(plugin: Path) -> list[str]:
    """List what was installed in a plugin's root filesystem beside the base's packages."""
    local = plugin / "rootfs/usr/local"
    return sorted(str(path.relative_to(local)) for path in local.rglob("*"))


@pytest.mark.parametrize("backend", ["local", "loop"])
def test_containers_use_its_volumes(plugin_node: Node, name: str, backend: str) -> None:
    """What one container writes another reads; the data is on the host, outside the plugin."""
    size = ("-o", "size=64M") if backend == "loop" else ()
    create = ("volume", "create", "-d", "volplug", "-o", f"backend={backend}", *size, name)
    plugin_node.docker(*create).ok()
    run = ("run", "--rm", "-v", f"{name}:/data", IMAGE)
    plugin_node.docker(*run, "sh", "-c", "echo kept > /data/file").ok()
    assert plugin_node.docker(*run, "cat", "/data/file").ok() == "kept"
    listed = ("volume", "ls", "-q", "--filter", "driver=volplug:latest")
    assert name in plugin_node.docker(*listed).ok().split()
    assert any((plugin_node.directory / "var-lib/volplug").rglob(f"*{name}*"))
    plugin_node.docker("volume", "rm", name).ok()


def test_it_knows_who_uses_a_volume(plugin_node: Node, name: str) -> None:
    """It sees the processes of the host: a volume is refused while it is used, and no longer."""
    create = ("volume", "create", "-d", "volplug", "-o", "access=single-container", name)
    plugin_node.docker(*create).ok()
    plugin_node.keep_running("a", name)
    second = ("run", "--rm", "-v", f"{name}:/data", IMAGE, "true")
    assert name in plugin_node.docker(*second).refused()
    plugin_node.docker("rm", "-f", f"{name}-a").ok()
    plugin_node.docker(*second).ok()
    plugin_node.docker("volume", "rm", name).ok()


def test_its_volumes_survive_a_forced_disable(plugin_node: Node, name: str) -> None:
    """`disable -f` unmounts under running containers and loses Unmounts; afterwards all is well.

    The records then say "mounted" of what is not (docker-contract 5.2), and the next Mount has to
    look.
    """
    plugin_node.docker("volume", "create", "-d", "volplug", name).ok()
    plugin_node.keep_running("a", name)
    plugin_node.docker("exec", f"{name}-a", "sh", "-c", "echo before > /data/file").ok()
    plugin_node.docker("plugin", "disable", "--force", "volplug").ok()
    plugin_node.docker("rm", "-f", f"{name}-a").ok()
    plugin_node.docker("plugin", "enable", "--timeout=0", "volplug").ok()
    run = ("run", "--rm", "-v", f"{name}:/data", IMAGE, "cat", "/data/file")
    assert plugin_node.docker(*run).ok() == "before"
    removed = ("volume", "rm", name)
    poll(lambda: plugin_node.docker(*removed).code == 0, "the lost Unmount's grace", seconds=30)


def test_it_is_replaced_while_a_volume_is_mounted(plugin_node: Node, name: str) -> None:
    """The upgrade drill: the engine can delete the plugin, and a new one has the volume's data.

    Mountpoints are immutable, and the engine deletes them with the plugin's directory.
    """
    plugin_node.docker("volume", "create", "-d", "volplug", name).ok()
    plugin_node.keep_running("a", name)
    plugin_node.docker("exec", f"{name}-a", "sh", "-c", "echo before > /data/file").ok()
    plugin_node.docker("plugin", "disable", "--force", "volplug").ok()
    plugin_node.docker("plugin", "rm", "--force", "volplug").ok()
    plugin_node.docker("rm", "-f", f"{name}-a").ok()
    install(plugin_node)
    run = ("run", "--rm", "-v", f"{name}:/data", IMAGE, "cat", "/data/file")
    assert plugin_node.docker(*run).ok() == "before"
    removed = ("volume", "rm", name)
    poll(lambda: plugin_node.docker(*removed).code == 0, "the lost Unmount's grace", seconds=30)


def test_the_engine_restarts_it(plugin_node: Node, name: str) -> None:
    """After the engine was stopped and started, the plugin is on and the volume is there."""
    run = ("run", "--rm", "--volume-driver=volplug", "-v", f"{name}:/data", IMAGE)
    plugin_node.docker(*run, "sh", "-c", "echo kept > /data/file").ok()
    plugin_node.stop_engine()
    plugin_node.start_engine()
    assert plugin_node.docker(*run, "cat", "/data/file").ok() == "kept"
    plugin_node.docker("volume", "rm", name).ok()


def test_its_crash_is_survived(plugin_node: Node, name: str) -> None:
    """After `kill -9` the engine starts it again, and it knows what is mounted.

    The last test here: an engine waits 10 s at every later disable of a plugin that crashed once.
    """
    plugin_node.docker("volume", "create", "-d", "volplug", name).ok()
    plugin_node.keep_running("a", name)
    plugin_node.run("pkill", "-KILL", "-f", "/usr/local/bin/volplug serve").ok()
    plugin_node.docker("exec", f"{name}-a", "sh", "-c", "echo meanwhile > /data/file").ok()
    poll(lambda: plugin_node.docker("volume", "inspect", name).code == 0, "its return", seconds=60)
    plugin_node.docker("rm", "-f", f"{name}-a").ok()
    run = ("run", "--rm", "-v", f"{name}:/data", IMAGE, "cat", "/data/file")
    assert plugin_node.docker(*run).ok() == "meanwhile"
    plugin_node.docker("volume", "rm", name).ok()
