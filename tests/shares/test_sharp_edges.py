"""What the file servers' libraries do to whoever calls them, and that none of it reaches us.

The published `libnfs` and `gfapi` packages are tried only where they are installed.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rigs.ganesha import Ganesha
from tests.rigs.gluster import Gluster
from tests.rigs.network import stop, until
from tests.shares.conftest import gluster_tree, nfs_tree
from tests.shares.published import CRUTCHES, Published, install
from volplug.deadline import deadline
from volplug.errors import AccessDenied, DeadlineExceeded, HostError, Unavailable, VolplugError
from volplug.trees.remote import RemoteTree, module

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Give the published packages."""
    return install(tmp_path_factory.mktemp("published"))


@contextmanager
def _stopped(server: Ganesha) -> Iterator[None]:
    server.host.stop()
    try:
        yield
    finally:
        server.host.send(signal.SIGCONT)


def _took(started: float) -> float:
    return time.monotonic() - started


def test_published_libnfs_hangs_after_a_failed_mount(
    published: Published, ganesha: Ganesha
) -> None:
    """The call that hangs for ever, its interpreter's lock held, ends at our deadline."""
    url = f"nfs://{ganesha.host.address}/not/exported"
    conversation = published.conversation(
        CRUTCHES + f"import libnfs; libnfs.NFS({url!r}).stat('/')"
    )
    ticks: list[int] = []
    counting = threading.Timer(0.3, lambda: ticks.append(1))
    counting.start()
    started = time.monotonic()
    with deadline(2), pytest.raises(DeadlineExceeded, match="stopped"):
        conversation.ask({})
    assert 1.9 < _took(started) < 30
    assert ticks, "another thread of ours stood still meanwhile"
    assert not conversation.alive


@pytest.mark.parametrize(
    "misuse",
    ["nfs.listdir('/plain')", "file = nfs.open('/plain', 'r'); file.close(); file.close()"],
)
def test_published_libnfs_crash_does_not_reach_us(
    published: Published, ganesha: Ganesha, pool: Path, misuse: str
) -> None:
    """Listing a plain file and closing twice crash the library; we read by which signal."""
    (pool / "plain").write_text("x")
    url = f"nfs://{ganesha.host.address}{pool}"
    conversation = published.conversation(
        CRUTCHES + f"import libnfs; nfs = libnfs.NFS({url!r}); {misuse}"
    )
    with deadline(20), pytest.raises(HostError, match=r"SIG(SEGV|ABRT)"):
        conversation.ask({})
    (pool / "plain").unlink()


def test_published_libnfs_hides_failures(
    published: Published, ganesha: Ganesha, pool: Path
) -> None:
    """Where the package answers that all is well, our tree raises the errno."""
    (pool / "plain").write_text("x")
    url = f"nfs://{ganesha.host.address}{pool}"
    conversation = published.conversation(
        CRUTCHES + f"import libnfs; nfs = libnfs.NFS({url!r})\n"
        "assert nfs.mkdir('/plain') != 0\n"
        "found = nfs.stat('/plain/below'); assert found['mode'] == found['ino'] == 0"
    )
    with deadline(20):
        assert conversation.ask({}) == {"value": 1}
    conversation.close()
    tree = nfs_tree(ganesha, pool)
    with pytest.raises(FileExistsError):
        tree.mkdir("plain")
    with pytest.raises(NotADirectoryError):
        tree.stat("plain/below")
    (pool / "plain").unlink()


def test_published_gfapi_cannot_be_imported(published: Published) -> None:
    """Gfapi does not import on this Python by itself."""
    with deadline(20), pytest.raises(HostError, match=r"collections.*Iterator"):
        published.conversation("import gluster.gfapi").ask({})


def test_published_gfapi_fsync_crash_does_not_reach_us(
    published: Published, gluster: Gluster
) -> None:
    """The package's fsync passes one argument where the library reads three; ours passes three."""
    conversation = published.conversation(
        f"{CRUTCHES}import os\nfrom gluster.gfapi import gfapi\n"
        f"volume = gfapi.Volume({gluster.host.address!r}, {gluster.volume!r}); volume.mount()\n"
        "file = volume.open('synced', os.O_CREAT | os.O_WRONLY); gfapi.File(file).fsync()"
    )
    with deadline(20), pytest.raises(HostError, match=r"SIGSEGV|SIGABRT|SIGBUS"):
        conversation.ask({})
    tree = gluster_tree(gluster, gluster.volume)
    tree.write("synced", "by us")
    assert tree.read("synced") == "by us"
    tree.unlink("synced")


def _pythons() -> list[str]:
    """Return every Python from 3.11 on that is here, this one first."""
    found = sorted(Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python3"))
    return [sys.executable, *map(str, found)]


@pytest.fixture(params=["with the packages", "without them"])
def paths(request: pytest.FixtureRequest, published: Published) -> list[str]:
    """Give the places that a child's modules come from."""
    root = Path(__file__).parents[2]
    packages = [str(published.place)] if request.param == "with the packages" else []
    return [str(root), str(root / "drivers"), *packages]


@pytest.fixture
def servers(ganesha: Ganesha, pool: Path, gluster: Gluster) -> list[tuple[str, ...]]:
    """Give the children's modules with what they are told."""
    return [
        ("volplug_nfs.libnfs_tree", ganesha.host.address, str(pool), "0", "0"),
        ("volplug_glusterfs.gfapi_tree", gluster.volume, "5", gluster.host.address),
    ]


@pytest.mark.parametrize("python", _pythons())
def test_children_run_on_every_python(
    python: str, paths: list[str], servers: list[tuple[str, ...]]
) -> None:
    """The children work on each Python that is here, with the published packages and without."""
    for name, *arguments in servers:
        program = (
            f"import runpy, sys; sys.path[:0] = {paths!r}; sys.argv[1:] = {arguments!r}; "
            f"runpy.run_module({name!r}, run_name='__main__')"
        )
        tree = RemoteTree([python, "-I", "-c", program])
        with deadline(20):
            tree.write("file", "text")
            assert tree.read("file") == "text"
            assert "file" in [entry.name for entry in tree.entries(".")]
            tree.unlink("file")
        tree.close()


def test_stopped_nfs_server_is_told_in_time(ganesha: Ganesha, pool: Path) -> None:
    """Every call to a stopped server ends inside its deadline; when it goes on, so do we."""
    tree = nfs_tree(ganesha, pool)
    tree.mkdir("before")
    with _stopped(ganesha):
        for _ in range(3):
            started = time.monotonic()
            with deadline(1), pytest.raises(VolplugError):
                tree.stat("before")
            assert _took(started) < 20
    tree.rmdir("before")


def test_no_thread_or_child_is_lost(ganesha: Ganesha, pool: Path) -> None:
    """200 calls to a server that does not answer leave no thread, no child and no descriptor."""
    tree = nfs_tree(ganesha, pool)
    tree.stat(".")
    before = (threading.active_count(), _children(), len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    with _stopped(ganesha):
        for _ in range(200):
            with deadline(0.05), pytest.raises(VolplugError):
                tree.stat(".")
    assert tree.stat(".").directory
    after = (threading.active_count(), _children(), len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    assert after == before


def test_restarted_nfs_server_is_found_again(ganesha: Ganesha, pool: Path) -> None:
    """A connection that died with its server is thrown away, and the next call has a new one."""
    tree = nfs_tree(ganesha, pool)
    tree.stat(".")
    ganesha.stop()
    with deadline(10), pytest.raises(Unavailable):
        tree.stat(".")
    with deadline(10), pytest.raises(Unavailable, match="cannot be mounted"):
        tree.stat(".")
    ganesha.start()
    assert tree.stat(".").directory
    ganesha.stop()
    ganesha.start()
    until(lambda: _took(tree._spare[0][1]) > 0.1, "the child to be idle")
    tree.mkdir("at the first try")
    tree.rmdir("at the first try")


def test_export_that_is_missing(ganesha: Ganesha) -> None:
    """A path that is not exported is refused in one sentence that says how to see what is."""
    with deadline(10), pytest.raises((Unavailable, AccessDenied), match=r"not exported|refuses"):
        nfs_tree(ganesha, Path("/not/exported")).stat(".")


def test_address_that_swallows_everything(network: object) -> None:
    """A host that does not even refuse a connection costs the deadline and no more."""
    assert network
    tree = RemoteTree(module("volplug_nfs.libnfs_tree", "10.213.255.1", "/x", "0", "0"))
    started = time.monotonic()
    with deadline(2), pytest.raises(VolplugError):
        tree.stat(".")
    assert _took(started) < 30


def test_stopped_bricks_are_told_in_time(gluster: Gluster) -> None:
    """A Gluster call blocks for twice the ping timeout; ours ends at the deadline, and recovers."""
    tree = gluster_tree(gluster, gluster.volume)
    tree.mkdir("before")
    stop(gluster.bricks())
    try:
        started = time.monotonic()
        with deadline(2), pytest.raises(DeadlineExceeded):
            tree.mkdir("during")
        assert _took(started) < 30
    finally:
        gluster.send_bricks(signal.SIGCONT)
    tree.rmdir("before")


def test_gluster_volume_that_is_missing(gluster: Gluster) -> None:
    """A volume that does not exist is refused in one sentence."""
    address = gluster.host.address
    tree = RemoteTree(module("volplug_glusterfs.gfapi_tree", "nowhere", "5", address))
    with deadline(10), pytest.raises(Unavailable, match="'nowhere' cannot be reached"):
        tree.stat(".")


def test_child_ends_when_we_are_gone(tmp_path: Path) -> None:
    """A child whose asker was killed ends by itself, even with an answer under way."""
    program = tmp_path / "asker.py"
    program.write_text(
        "import os, signal\n"
        "from volplug.trees.remote import RemoteTree, module\n"
        f"tree = RemoteTree(module('volplug.trees.local', {str(tmp_path)!r}))\n"
        "tree.stat('.')\n"
        "print(tree._spare[0][0]._program._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    read, write = socket.socketpair()
    asker = os.posix_spawn(
        sys.executable,
        [sys.executable, str(program)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, write.fileno(), 1)],
    )
    os.waitpid(asker, 0)
    child = int(read.recv(100))
    end = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and _state(child) != "Z":
        assert time.monotonic() < end
        time.sleep(0.02)
    read.close()
    write.close()


def _children() -> int:
    return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
