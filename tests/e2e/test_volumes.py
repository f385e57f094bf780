"""What people do with volumes through the docker client, against a real engine."""

import json
from typing import Any

import pytest

from tests.e2e.engine import IMAGE, Node
from tests.e2e.image import SEED, SEED_TEXT, SEED_UID

pytestmark = [pytest.mark.engine, pytest.mark.root]


def inspect(node: Node, name: str) -> dict[str, Any]:
    """Return what `docker volume inspect` says about one volume."""
    (volume,) = json.loads(node.docker("volume", "inspect", name).ok())
    assert isinstance(volume, dict)
    return volume


def names(node: Node) -> list[str]:
    """Return the names that `docker volume ls` shows for volplug."""
    return node.docker("volume", "ls", "-q", "--filter", "driver=volplug").ok().split()


def test_a_volume_comes_and_goes(node: Node, name: str) -> None:
    """Create, inspect, ls and rm agree on whether a volume exists."""
    assert node.docker("volume", "create", "-d", "volplug", name).ok() == name
    volume = inspect(node, name)
    assert volume["Driver"] == "volplug"
    assert volume["CreatedAt"].startswith("20")
    assert volume["Status"]["backend"] == "local"
    assert name in names(node)
    assert node.docker("volume", "rm", name).ok() == name
    assert name not in names(node)
    assert "no such volume" in node.docker("volume", "inspect", name).refused().lower()


def test_a_wrong_option_is_named(node: Node, name: str) -> None:
    """A misspelt option is refused with the right spelling, and no volume comes to be."""
    create = ("volume", "create", "-d", "volplug", "-o", "backend=loop", "-o", "sizee=1G", name)
    assert "did you mean 'size'" in node.docker(*create).refused()
    assert name not in names(node)


def test_a_bad_name_is_refused(node: Node) -> None:
    """The engine passes any name on; one that would leave its directory is refused."""
    refusal = node.docker("volume", "create", "-d", "volplug", "--", "../../evil").refused()
    assert "not allowed" in refusal


def test_data_outlives_its_container(node: Node, name: str) -> None:
    """What one container wrote, the next one reads."""
    run = ("run", "--rm", "--volume-driver=volplug", "-v", f"{name}:/data", IMAGE)
    node.docker(*run, "sh", "-c", "echo kept > /data/file").ok()
    assert node.docker(*run, "cat", "/data/file").ok() == "kept"
    node.docker("volume", "rm", name).ok()


def test_two_containers_share_a_volume(node: Node, name: str) -> None:
    """Two containers of one node see each other's writes at once."""
    node.docker("volume", "create", "-d", "volplug", name).ok()
    node.keep_running("a", name)
    node.keep_running("b", name)
    node.docker("exec", f"{name}-a", "sh", "-c", "echo hello > /data/file").ok()
    assert node.docker("exec", f"{name}-b", "cat", "/data/file").ok() == "hello"
    node.docker("rm", "-f", f"{name}-a").ok()
    node.docker("exec", f"{name}-b", "sh", "-c", "echo still > /data/file").ok()
    node.docker("rm", "-f", f"{name}-b").ok()
    node.docker("volume", "rm", name).ok()


@pytest.mark.parametrize("backend", ["local", "loop"])
def test_restart_keeps_the_data(node: Node, name: str, backend: str) -> None:
    """A restart unmounts and mounts anew, with another ID; the data is there."""
    options = ("-o", "size=64M") if backend == "loop" else ()
    node.docker(
        "volume", "create", "-d", "volplug", "-o", f"backend={backend}", *options, name
    ).ok()
    node.keep_running("a", name)
    node.docker("exec", f"{name}-a", "sh", "-c", "echo kept > /data/file; sync").ok()
    node.docker("restart", f"{name}-a").ok()
    assert node.docker("exec", f"{name}-a", "cat", "/data/file").ok() == "kept"
    node.docker("rm", "-f", f"{name}-a").ok()
    node.docker("volume", "rm", name).ok()


def test_an_empty_volume_gets_the_images_files(node: Node, name: str) -> None:
    """Copy-up brings the files of the image, and their directory's owner; only the first time."""
    run = ("run", "--rm", "--volume-driver=volplug", "-v", f"{name}:{SEED}", IMAGE, "sh", "-c")
    assert node.docker(*run, f"cat {SEED}/text; stat -c %u {SEED}").ok() == f"{SEED_TEXT}{SEED_UID}"
    node.docker(*run, f"echo changed > {SEED}/text").ok()
    assert node.docker(*run, f"cat {SEED}/text").ok() == "changed"
    node.docker("volume", "rm", name).ok()


def test_a_fresh_file_system_counts_as_empty(node: Node, name: str) -> None:
    """Copy-up reaches a block volume as well: the container does not see lost+found."""
    mount = f"type=volume,source={name},target={SEED},volume-driver=volplug"
    options = "volume-opt=backend=loop,volume-opt=size=64M"
    show = ("ls", SEED)
    assert node.docker("run", "--rm", "--mount", f"{mount},{options}", IMAGE, *show).ok() == "text"
    node.docker("volume", "rm", name).ok()


def test_mount_options_create_the_volume(node: Node, name: str) -> None:
    """`docker run --mount` with volume-opt makes a volume with those options."""
    mount = f"type=volume,source={name},target=/data,volume-driver=volplug"
    options = "volume-opt=backend=loop,volume-opt=size=64M,volume-nocopy"
    df = ("df", "-m", "/data")
    printed = node.docker("run", "--rm", "--mount", f"{mount},{options}", IMAGE, *df).ok()
    size_mib = int(printed.splitlines()[-1].split()[1])
    assert 32 < size_mib <= 64
    assert inspect(node, name)["Options"] == {"backend": "loop", "size": "64M"}
    node.docker("volume", "rm", name).ok()


def test_an_anonymous_volume_goes_with_its_container(node: Node) -> None:
    """An anonymous volume is made for one container and removed with it."""
    before = names(node)
    run = ("run", "--rm", "--volume-driver=volplug", "-v", "/data", IMAGE)
    node.docker(*run, "sh", "-c", "echo gone > /data/file").ok()
    assert names(node) == before


def test_a_volume_in_use_is_not_removed(node: Node, name: str) -> None:
    """Neither the engine nor volplug itself removes what a container uses."""
    node.docker("volume", "create", "-d", "volplug", name).ok()
    node.keep_running("a", name)
    assert "in use" in node.docker("volume", "rm", name).refused()
    refusal = node.volplug_command("rm", name).refused()
    assert name in refusal
    assert "stop its container first" in refusal
    node.docker("exec", f"{name}-a", "sh", "-c", "echo here > /data/file").ok()
    node.docker("rm", "-f", f"{name}-a").ok()
    node.docker("volume", "rm", name).ok()


def test_a_single_container_is_alone(node: Node, name: str) -> None:
    """A second container is refused, with the volume and the reason, until the first is gone."""
    create = ("volume", "create", "-d", "volplug", "-o", "access=single-container", name)
    node.docker(*create).ok()
    node.keep_running("a", name)
    second = ("run", "--rm", "-v", f"{name}:/data", IMAGE, "true")
    refusal = node.docker(*second).refused()
    assert name in refusal
    assert "single-container" in refusal
    node.docker("rm", "-f", f"{name}-a").ok()
    node.docker(*second).ok()
    node.docker("volume", "rm", name).ok()


def test_a_copy_does_not_end_a_running_containers_use(node: Node, name: str) -> None:
    """`docker cp` mounts and unmounts under the ID of the running container, which keeps its lease.

    So a second container on a single-container volume is refused still.
    """
    create = ("volume", "create", "-d", "volplug", "-o", "access=single-container", name)
    node.docker(*create).ok()
    node.keep_running("a", name)
    node.docker("exec", f"{name}-a", "sh", "-c", "echo out > /data/file").ok()
    copy = node.directory / f"{name}.copy"
    node.docker("cp", f"{name}-a:/data/file", str(copy)).ok()
    assert copy.read_text() == "out\n"
    copy.write_text("in\n")
    node.docker("cp", str(copy), f"{name}-a:/data/file").ok()
    assert node.docker("exec", f"{name}-a", "cat", "/data/file").ok() == "in"
    assert name in node.docker("run", "--rm", "-v", f"{name}:/data", IMAGE, "true").refused()
    assert "stop its container first" in node.volplug_command("rm", name).refused()
    node.docker("rm", "-f", f"{name}-a").ok()
    node.docker("volume", "rm", name).ok()
