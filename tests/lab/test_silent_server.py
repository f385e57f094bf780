"""A file server that stops answering costs its own volumes only, and only for as long as it does.

The server is paused: its kernel does not even refuse. That is the worst a server can do to a hard
mount, for nothing ever fails.
"""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.box import poll
from tests.lab.lab import Lab
from tests.lab.node import IMAGE, Node
from tests.lab.storage import EXPORTED, Storage
from volplug.source import Share

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

_MANY = 20


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Storage:
    """A server that exports a directory to everybody."""
    return lab.storage()


@pytest.fixture(scope="module")
def node(lab: Lab, storage: Storage) -> Node:
    """A node with an engine and volplug; its backends are the server, and a disk of its own."""
    node = lab.node()
    filer = f'[backends.filer]\ndriver = "share"\nexport = "{storage.address}:{EXPORTED}"\n'
    node.start_daemons(f'default_backend = "disk"\n[backends.disk]\ndriver = "local"\n{filer}')
    storage.start_nfs()
    node.wait_for_daemons()
    return node


@pytest.fixture
def volumes(node: Node, storage: Storage) -> Iterator[tuple[str, str]]:
    """A volume on the server, which a container has in use, and one on the disk."""
    storage.export("far")
    storage.shell(f"cd /srv{EXPORTED}; mkdir -p $(seq --format=far-%g {_MANY})")
    names = ["far", *(f"far-{number}" for number in range(1, _MANY + 1))]
    creates = [["Create", {"Name": name, "Opts": {"backend": "filer"}}] for name in names]
    creates.append(["Create", {"Name": "near", "Opts": {}}])
    answers = node.run("python3", "/seed/calls.py", json.dumps(creates)).ok().splitlines()
    assert [json.loads(answer)["Err"] for answer in answers] == [""] * len(creates)
    node.in_container("far", "echo before >/data/text").ok()
    words = ("run", "--detach", "--network=none", "--stop-signal=KILL", "-v", "far:/data")
    container = node.docker(*words, IMAGE, "sleep", "100000").ok()
    yield "far", "near"
    node.docker("rm", "--force", container).ok()
    unmounts = [["Unmount", {"Name": f"far-{n}", "ID": f"id-{n}"}] for n in range(1, _MANY + 1)]
    node.run("python3", "/seed/calls.py", json.dumps(unmounts)).ok()


def test_a_silent_server_costs_its_own_volumes_only(
    node: Node, storage: Storage, volumes: tuple[str, str]
) -> None:
    """Listing and other backends go on as before, and the volume is told to be degraded."""
    far, near = volumes
    usual_s = node.docker("volume", "ls").seconds
    with storage.paused():
        poll(lambda: _health(node, far).startswith("degraded: "), "the silence to be told", 120)
        assert "has not answered since" in _health(node, far)
        mounts = [["Mount", {"Name": f"far-{n}", "ID": f"id-{n}"}] for n in range(1, _MANY + 1)]
        node.start("mounts", "python3", "/seed/calls.py", json.dumps(mounts))
        listing = node.docker("volume", "ls")
        assert {far, near} <= set(listing.ok().split())
        assert listing.seconds < 5 * usual_s + 5, f"listing took {usual_s} s before the silence"
        assert node.in_container(near, "echo fine >/data/text; cat /data/text").ok() == "fine"
        assert node.docker("volume", "inspect", far, near).code == 0
    poll(lambda: not _health(node, far), "the server to be heard again", 120)
    poll(lambda: node.said().count("mounts: {") == _MANY, "every call to be answered", 120)
    assert node.in_container(far, "cat /data/text").ok() == "before"


def _health(node: Node, volume: str) -> str:
    """Return what `docker volume inspect` tells of a volume's mount; empty if nothing."""
    (volume_shown,) = json.loads(node.docker("volume", "inspect", volume).ok())
    health: str = volume_shown["Status"].get("health", "")
    return health


def test_a_mount_that_broke_is_made_anew(node: Node, storage: Storage) -> None:
    """A directory that was replaced on the server is told, and the next user gets the new one."""
    storage.export("stale")
    create = ["Create", {"Name": "stale", "Opts": {"backend": "filer"}}]
    mount = ["Mount", {"Name": "stale", "ID": "one"}]
    for call in (create, mount):
        node.run("python3", "/seed/calls.py", json.dumps([call])).ok()
    storage.shell(f"cd /srv{EXPORTED}; rm -r stale; mkdir -m 777 other stale")
    poll(lambda: _health(node, "stale").startswith("broken: "), "the break to be told", 120)
    node.in_container("stale", "echo again >/data/text").ok()
    assert storage.shell(f"cat /srv{EXPORTED}/stale/text") == "again"
    assert _health(node, "stale") == ""
    unmount = ["Unmount", {"Name": "stale", "ID": "one"}]
    node.run("python3", "/seed/calls.py", json.dumps([unmount])).ok()


class Writer:
    """A process on a node that is stuck in the midst of writing to a share, and then killed."""

    def __init__(self, node: Node, path: str) -> None:
        self._node = node
        node.shell("rm -f /run/ready /run/go")
        script = "exec 3>>$0/log; touch /run/ready; until [ -e /run/go ]; do sleep .1; done; "
        node.start("writer", "sh", "-c", script + "dd if=/dev/zero bs=64k count=20 >&3", path)
        node.wait_for("test -e /run/ready", "the writer to begin")

    def die_stuck(self) -> None:
        """Write, and be killed; to be called while the server is silent."""
        self._node.shell("touch /run/go")
        self._node.wait_for("ps -o stat= -C dd | grep -q D", "the writer to be stuck")
        self._node.kill("writer")


@pytest.mark.parametrize("version", ["3", "4.2"])
def test_a_share_leaves_without_its_server(node: Node, storage: Storage, version: str) -> None:
    """After its writer was killed in mid-write, a share is unmounted by force, and says so."""
    node.start_nfs_client()
    node.wait_for("! grep -q ' nfs' /proc/mounts", "no other share to be mounted")
    share = _share(storage, "left", version)
    path = node.stage("left", share).ok()
    writer = Writer(node, path)
    with storage.paused():
        writer.die_stuck()
        told = node.unstage("left")
        assert told.code == 0, told.stderr
        assert "unmounted by force" in told.stderr
        assert told.seconds < 60
        assert path not in node.shell("cat /proc/mounts")
    node.stage("left", share).ok()
    node.shell('touch "$0/again"', path)
    node.unstage("left").ok()


def test_force_spares_the_neighbours(node: Node, storage: Storage) -> None:
    """Where another volume lies on the same export, the stuck one waits for the server instead."""
    path = node.stage("left", _share(storage, "left", "4.2")).ok()
    neighbour = node.stage("right", _share(storage, "right", "4.2")).ok()
    writer = Writer(node, path)
    with storage.paused():
        writer.die_stuck()
        node.start("neighbour", "dd", "if=/dev/zero", f"of={neighbour}/file", "bs=64k", "count=20")
        assert "would break the other volumes there" in node.unstage("left").refused()
        assert path in node.shell("cat /proc/mounts")
    poll(lambda: "neighbour: 20+0 records out" in node.said(), "the neighbour to write on", 60)
    node.unstage("right").ok()
    poll(lambda: node.unstage("left").code == 0, "the stuck share to be let go", 60)


def _share(storage: Storage, name: str, version: str) -> Share:
    return Share("nfs", storage.export(name), (f"vers={version}", "hard", "retry=0"))
