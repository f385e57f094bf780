"""Real NFS: a kernel's client and a kernel's server, on machines of their own."""

import pytest

from tests.lab.lab import Lab
from tests.lab.node import Node
from tests.lab.storage import EXPORTED, Storage
from volplug.source import Share

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

_VERSIONS = pytest.mark.parametrize(("version", "fstype"), [("3", "nfs"), ("4.2", "nfs4")])


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Storage:
    """A server that exports a directory to everybody."""
    return lab.storage()


@pytest.fixture(scope="module")
def nodes(lab: Lab, storage: Storage) -> tuple[Node, Node]:
    """Two nodes that can mount from the server; all three boot side by side."""
    nodes = lab.node(), lab.node()
    storage.start_nfs()
    for node in nodes:
        node.start_nfs_client()
    return nodes


@pytest.fixture(scope="module")
def engines(nodes: tuple[Node, Node], storage: Storage) -> tuple[Node, Node]:
    """The two nodes with an engine and volplug, and the server as their backend."""
    storage.export("pool")
    servers = f'servers = ["{storage.address}"]\nexport = "{EXPORTED}/pool"\n'
    for node in nodes:
        node.start_daemons(f'[backends.filer]\ndriver = "nfs"\n{servers}')
    for node in nodes:
        node.wait_for_daemons()
    return nodes


def _share(storage: Storage, name: str, *options: str) -> Share:
    return Share("nfs", storage.export(name), (*options, "hard", "retrans=2", "retry=0"))


@_VERSIONS
def test_what_one_node_writes_another_reads(
    nodes: tuple[Node, Node], storage: Storage, version: str, fstype: str
) -> None:
    """The host mounts the version it is told to, without set-uid and devices, and lets go again."""
    share = _share(storage, f"bytes-{version}", f"vers={version}")
    writer, reader = nodes
    path = writer.stage("v", share).ok()
    kind, options = writer.shell('grep " $0 " /proc/mounts | cut -d" " -f3,4', path).split(" ")
    assert kind == fstype
    assert {f"vers={version}", "hard", "nosuid", "nodev"} <= set(options.split(","))
    writer.shell('echo "from one node" >"$0/text"; sync "$0/text"', path)
    assert reader.shell('cat "$0/text"', reader.stage("v", share).ok()) == "from one node"
    for node in nodes:
        node.unstage("v").ok()
        assert path not in node.shell("cat /proc/mounts")


def test_nothing_is_written_beside_the_mount(nodes: tuple[Node, Node], storage: Storage) -> None:
    """When the mount is away, root himself cannot write into its directory."""
    node, _ = nodes
    path = node.stage("v", _share(storage, "beside")).ok()
    node.shell('umount "$0"', path)
    assert "not permitted" in node.run("touch", f"{path}/stray").refused()
    node.stage("v", _share(storage, "beside")).ok()
    node.shell('touch "$0/fine"', path)
    node.unstage("v").ok()


def test_refusals_name_the_cause(nodes: tuple[Node, Node], storage: Storage) -> None:
    """A directory that is not there, and one that is not exported, are refused in a sentence."""
    node, _ = nodes
    missing = Share("nfs", f"{storage.address}:{EXPORTED}/missing", ("vers=4.2", "retry=0"))
    assert "no such directory" in node.stage("v", missing).refused()
    elsewhere = Share("nfs", f"{storage.address}:/etc", ("vers=3", "nolock", "retry=0"))
    assert "the server does not export this to this node" in node.stage("v", elsewhere).refused()
    node.unstage("v").ok()


def test_containers_on_two_nodes_share_a_volume(engines: tuple[Node, Node]) -> None:
    """`docker run` on one node writes, and on another it reads the same bytes."""
    options = ("-o", "backend=filer", "-o", "access=shared")
    for node in engines:
        node.docker("volume", "create", "-d", "volplug", *options, "common").ok()
    writer, reader = engines
    writer.in_container("common", "echo from a container >/data/text; sync").ok()
    assert reader.in_container("common", "cat /data/text").ok() == "from a container"
    for node in engines:
        node.wait_for("! grep -q /common /proc/mounts", "the volume to be taken down")


def test_a_silent_server_is_named(engines: tuple[Node, Node], storage: Storage) -> None:
    """While the server does not answer, a new volume is refused in a sentence that names it."""
    node, _ = engines
    create = ("volume", "create", "-d", "volplug", "-o", "backend=filer", "late")
    with storage.paused():
        refused = node.docker(*create)
        assert storage.address in refused.refused()
        assert refused.seconds < 20
    node.docker(*create).ok()
