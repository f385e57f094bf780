"""The promises of controller.py: storage is made, deleted and enlarged once, whatever fails."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug.catalog import RecordState
from volplug.errors import (
    Busy,
    DeadlineExceeded,
    Exhausted,
    InvalidOptions,
    Unavailable,
    VolplugError,
    VolumeExists,
    VolumeInUse,
    VolumeNotFound,
)
from volplug.host import Filesystem, Formatted
from volplug.options import Size


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node with the backends gold and silver."""
    return SmallNode(tmp_path)


def test_create_records_what_was_asked_and_made(node: SmallNode) -> None:
    """After Create the record has the options, the handle and the state."""
    record = node.create("data", {"size": "2G", "access": "rwx", "uid": "7", "mode": "0750"})
    assert (record.state, record.backend, record.options) == ("ready", "gold", {"size": "2G"})
    assert record.handle in node.cloud.volumes
    assert (record.owner.uid, record.owner.mode) == (7, 0o750)


def test_create_ten_times_makes_one(node: SmallNode) -> None:
    """The same name with the same options is success and makes nothing new."""
    for _ in range(10):
        node.create("data", {"size": "2G"})
    assert len(node.cloud.volumes) == 1


def test_create_with_options_spelled_otherwise_is_the_same(node: SmallNode) -> None:
    """2G and 2048M, rwo and single-writer ask for the same volume."""
    node.create("data", {"size": "2G", "access": "rwo"})
    node.create("data", {"size": "2048M", "backend": "gold"})


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"size": "3G"}, "size=2 GiB not 3 GiB"),
        ({"size": "2G", "access": "shared"}, "access=single-writer not shared"),
        ({"size": "2G", "backend": "silver"}, "backend=gold not silver"),
        ({"size": "2G", "uid": "1"}, r"uid=\(unset\) not 1"),
    ],
)
def test_create_with_other_options_shows_the_difference(
    node: SmallNode, options: dict[str, str], shown: str
) -> None:
    """A taken name is refused with what differs."""
    node.create("data", {"size": "2G"})
    with pytest.raises(VolumeExists, match=shown):
        node.create("data", options)


def test_a_refused_create_leaves_nothing(node: SmallNode) -> None:
    """What the driver refuses for good is forgotten, and the name is free."""
    node.cloud.fail("create", Exhausted("full"))
    with pytest.raises(Exhausted):
        node.create("data")
    assert node.catalog.records() == []
    node.create("data")


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("error", [Unavailable("away"), DeadlineExceeded("slow")])
def test_an_unknown_outcome_is_kept_and_finished(
    node: SmallNode, error: VolplugError, done: bool
) -> None:
    """After an answer was lost the volume is no volume yet; the same Create completes it."""
    node.cloud.fail("create", error, done=done)
    with pytest.raises(type(error)):
        node.create("data")
    assert node.record("data").state is RecordState.CREATING
    assert node.service.get("data") is None
    assert node.service.list() == []
    node.create("data")
    assert len(node.cloud.volumes) == 1


def test_finish_completes_a_half_made_volume(node: SmallNode) -> None:
    """The keeper needs nobody to call again."""
    node.cloud.fail("create", Unavailable("away"))
    with pytest.raises(Unavailable):
        node.create("data")
    node.controller.finish("data")
    assert node.record("data").state is RecordState.READY


def test_delete_ten_times(node: SmallNode) -> None:
    """Deleting what is gone is success."""
    node.create("data")
    for _ in range(10):
        node.controller.delete("data")
    assert node.cloud.volumes == {}
    assert node.catalog.records() == []


def test_a_half_deleted_volume_has_no_way_back(node: SmallNode) -> None:
    """After a delete that failed, mounts and creates are refused, and finish ends it."""
    node.create("data")
    node.cloud.fail("delete", Unavailable("away"))
    with pytest.raises(Unavailable):
        node.service.remove("data")
    with pytest.raises(Busy, match="being deleted"):
        node.service.mount("data", "c1")
    with pytest.raises(Busy, match="being deleted"):
        node.create("data")
    assert node.service.get("data") is not None
    node.controller.finish("data")
    assert node.service.get("data") is None


def test_a_half_made_volume_can_be_deleted(node: SmallNode) -> None:
    """Whatever the lost Create made is found and removed."""
    node.cloud.fail("create", Unavailable("away"), done=True)
    with pytest.raises(Unavailable):
        node.create("data")
    assert len(node.cloud.volumes) == 1
    node.service.remove("data")
    assert node.cloud.volumes == {}


def test_delete_is_refused_while_another_node_holds_it(node: SmallNode, tmp_path: Path) -> None:
    """The refusal names the node, and nothing was touched."""
    other = SmallNode(tmp_path, "n2", beside=node)
    node.create("data")
    other.service.mount("data", "c1")
    with pytest.raises(VolumeInUse, match=r"node 'n2' since .* stop its containers"):
        node.service.remove("data")
    assert len(node.cloud.volumes) == 1


def test_expand_grows_and_is_recorded(node: SmallNode) -> None:
    """After expand the backend and the record have the new size."""
    node.create("data", {"size": "2G"})
    node.administration.expand("data", Size.parse("5G"))
    [volume] = node.cloud.volumes.values()
    assert volume.size == Size.parse("5G")
    node.create("data", {"size": "5G"})


def test_expand_of_an_unknown_volume(node: SmallNode) -> None:
    """There is a sentence for it."""
    with pytest.raises(VolumeNotFound, match="there is no volume 'data'"):
        node.administration.expand("data", Size(1))


def test_clone_holds_its_origins_file_system(node: SmallNode) -> None:
    """A clone of a formatted disk is never formatted, and knows whose UUID it carries."""
    origin = node.create("data", {"disk": "yes"})
    ready = Filesystem(Formatted.READY, "ext4", "uuid-1")
    node.catalog.replace(replace(origin, filesystem=ready))
    clone = node.create("copy", {"disk": "yes", "clone_of": "data"})
    assert clone.filesystem == Filesystem(Formatted.CLONED, "ext4", "uuid-1")
    assert node.cloud.volumes[clone.handle].origin == origin.handle


def test_origin_of_a_half_made_clone_stays(node: SmallNode) -> None:
    """Without it the clone could not be finished, and nobody would find what there is of it."""
    node.create("data")
    node.cloud.fail("clone", Unavailable("silent"), done=True)
    with pytest.raises(Unavailable):
        node.create("copy", {"clone_of": "data"})
    with pytest.raises(VolumeInUse, match=r"'copy', a clone of volume 'data', is only half made"):
        node.service.remove("data")
    node.create("copy", {"clone_of": "data"})
    node.service.remove("data")
    assert len(node.cloud.volumes) == 1
    assert [each.name for each in node.catalog.records()] == ["copy"]


def test_clone_of_a_volume_in_use_is_refused(node: SmallNode) -> None:
    """A copy of what is being written would be torn; nothing is left of the attempt."""
    node.create("data")
    node.service.mount("data", "c1")
    with pytest.raises(VolumeInUse, match="stop its containers, then clone"):
        node.create("copy", {"clone_of": "data"})
    assert node.catalog.get("copy") is None


@pytest.mark.parametrize("origin", ["absent", "elsewhere"])
def test_clone_of_what_cannot_be_cloned(node: SmallNode, origin: str) -> None:
    """No such volume, or one on another backend, is refused with the reason."""
    node.create("elsewhere", {"backend": "silver"})
    with pytest.raises(InvalidOptions, match=origin):
        node.create("copy", {"clone_of": origin})
    assert node.catalog.get("copy") is None


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("../evil", {}, "volume name '../evil' is not allowed"),
        ("v", {"sise": "1G"}, "unknown option 'sise', did you mean 'size'"),
        ("v", {"": "x"}, "unknown option ''"),
        ("v", {"backend": "gould"}, "unknown backend 'gould', did you mean 'gold'"),
        ("v", {"access": "mine"}, "unknown access mode 'mine'"),
        ("v", {"size": "much", "uid": "me"}, "uid.*size|size.*uid"),
    ],
)
def test_bad_requests_name_what_was_wrong(
    node: SmallNode, name: str, options: dict[str, str], sentence: str
) -> None:
    """Each is one sentence, and nothing is recorded."""
    with pytest.raises(InvalidOptions, match=sentence):
        node.create(name, options)
    assert node.catalog.records() == []
