"""Trees of every kind, on real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tested
from tests.machine import need_program, need_root
from tests.rigs.ganesha import Ganesha, export
from tests.rigs.gluster import Gluster
from tests.rigs.network import Network, run
from tests.shares.volumes import on
from volplug.trees.local import LocalTree
from volplug.trees.remote import RemoteTree, module
from volplug.trees.subdirectories import Subdirectories
from volplug.trees.tree import Tree
from volplug_glusterfs import ManagedGlusterConfig

KINDS = ["local", "child", "libnfs", "gfapi"]


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Give a bridge with this machine on it."""
    need_root()
    need_program("ip", "iproute2")
    network = Network()
    yield network
    network.close()


@pytest.fixture(scope="session")
def gluster(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gluster]:
    """Give a replica-3 volume."""
    cluster = Gluster(network.host(1), tmp_path_factory.mktemp("gluster"))
    server = f"GlusterFS {tested.package('glusterfs-server')}, three bricks"
    tested.against(["glusterfs", "glusterfs-managed"], server, "tests/shares/test_glusterfs")
    yield cluster
    cluster.close()


@pytest.fixture
def managed_config(gluster: Gluster, network: Network) -> ManagedGlusterConfig:
    """Give the managed driver's configuration, quotas allowed and on."""
    if gluster.cli("volume", "get", gluster.volume, "features.quota").split()[-1] != "on":
        gluster.cli("volume", "quota", gluster.volume, "enable")
    return ManagedGlusterConfig(
        servers=(gluster.host.address,),
        volume=gluster.volume,
        ping_timeout_s=5,
        admin=tuple(gluster.command),
        admin_addresses=(network.address,),
        quota=True,
    )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Give a mountpoint."""
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    if f" {place} " in Path("/proc/self/mountinfo").read_text():
        run("umount", "-l", place)


@pytest.fixture
def open_to_all(gluster: Gluster) -> Iterator[None]:
    """Let the volume be mounted by everybody again after each test."""
    yield
    gluster.cli("volume", "set", gluster.volume, "auth.allow", "*")


@pytest.fixture(scope="session")
def trees_on_gluster(gluster: Gluster) -> RemoteTree:
    """Give a tree on a volume that nobody stops the bricks of in the middle of a call.

    After that, Gluster's self-heal may bring back what was deleted before.
    """
    gluster.add("trees")
    return gluster_tree(gluster, "trees")


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory that the NFS server exports as it is."""
    return tmp_path_factory.mktemp("pool")


@pytest.fixture(scope="session")
def squashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory that the NFS server exports with root mapped to nobody."""
    return tmp_path_factory.mktemp("squashed")


@pytest.fixture(scope="session")
def all_squashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory that the NFS server exports with everybody mapped to nobody."""
    path = tmp_path_factory.mktemp("all_squashed")
    path.chmod(0o777)
    return path


@pytest.fixture(scope="session")
def ganesha(
    network: Network,
    pool: Path,
    squashed: Path,
    all_squashed: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ganesha]:
    """Give an NFS server with the three exports, and a machine with libnfs."""
    need_program("nfs-ls", "libnfs-utils")
    exports = (
        export(1, pool)
        + export(2, squashed, squash="Root_Squash")
        + export(3, all_squashed, squash="All_Squash")
    )
    server = Ganesha(network.host(2), tmp_path_factory.mktemp("ganesha"), exports)
    version = tested.package("nfs-ganesha")
    tested.against(["nfs", "nfs-ganesha"], f"NFS-Ganesha {version}", "tests/shares/test_nfs")
    yield server
    server.stop()


@pytest.fixture(
    params=[
        kind if kind in ("local", "child") else pytest.param(kind, marks=pytest.mark.root)
        for kind in KINDS
    ]
)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tree]:
    """Give a tree with nothing of another test in it."""
    if request.param == "local":
        yield LocalTree(tmp_path)
        return
    remote = _remote(request, tmp_path)
    _clear(remote)
    yield remote
    remote.close()


@pytest.fixture
def share(tree: Tree) -> Subdirectories:
    """Give a share with no volume on it."""
    return on(tree)


def _remote(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteTree:
    if request.param == "child":
        return RemoteTree(module("volplug.trees.local", str(tmp_path)))
    if request.param == "libnfs":
        server, pool = request.getfixturevalue("ganesha"), request.getfixturevalue("pool")
        return nfs_tree(server, pool)
    on_gluster: RemoteTree = request.getfixturevalue("trees_on_gluster")
    return on_gluster


def nfs_tree(server: Ganesha, path: Path, *, uid: int = 0, gid: int = 0) -> RemoteTree:
    """Return a tree on an export of the server, seen as that user."""
    words = (server.host.address, str(path), str(uid), str(gid))
    return RemoteTree(module("volplug_nfs.libnfs_tree", *words))


def gluster_tree(cluster: Gluster, volume: str) -> RemoteTree:
    """Return a tree on a volume of the cluster."""
    address = cluster.host.address
    return RemoteTree(module("volplug_glusterfs.gfapi_tree", volume, "5", address), answer_s=30)


def _clear(tree: Tree, path: str = ".") -> None:
    for entry in tree.entries(path):
        inner = entry.name if path == "." else f"{path}/{entry.name}"
        if entry.directory:
            _clear(tree, inner)
            tree.rmdir(inner)
        elif not (path == "." and entry.name.startswith(".trashcan")):
            tree.unlink(inner)
