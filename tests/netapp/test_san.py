"""What holds for LUNs beyond the contract: who reaches them, where, and what a fence proves."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.netapp.conftest import CHAP, NODE_A, NODE_B, Sim, disk
from volplug.sdk import (
    AccessMode,
    Device,
    HeldElsewhere,
    HostError,
    InvalidOptions,
    IscsiLun,
    Size,
    Unavailable,
    VolumeExists,
    VolumeInUse,
)
from volplug_netapp import SanOptions, _node

_FOREIGN = "iqn.1998-01.com.vmware:esx7"


def _lun(source: object) -> IscsiLun:
    assert isinstance(source, Device)
    assert isinstance(source.identity, IscsiLun)
    return source.identity


def _map_by_hand(sim: Sim, handle: str, *initiators: str) -> None:
    svm = {"svm": {"name": "svm1"}}
    members = {"initiators": [{"name": name} for name in initiators]}
    group = {"name": "byhand", "protocol": "iscsi", "os_type": "linux", **svm, **members}
    sim.do("call", method="POST", path="/protocols/san/igroups", body=group)
    body = {"lun": {"name": f"/vol/{handle}/lun0"}, "igroup": {"name": "byhand"}, **svm}
    sim.do("call", method="POST", path="/protocols/san/lun-maps", body=body)


def test_identity_is_what_the_array_tells(sim: Sim) -> None:
    """Serial, number, target, and the portals of the controllers that report the LUN."""
    driver = sim.san()
    source = driver.attach(disk(driver.create("data", SanOptions(size=Size(64 << 20)))), NODE_A)
    assert isinstance(source, Device)
    [lun] = sim.do("list", what="luns")
    portals = ("10.0.0.11:3260", "10.0.0.12:3260")  # n3 does not report it
    iqn = "iqn.1992-08.com.netapp:sn.1234:vs.3"
    assert source.identity == IscsiLun(portals, iqn, 0, lun["serial_number"])
    assert (source.size_bytes, source.fstype) == (64 << 20, "ext4")


def test_number_is_used_again_but_the_serial_is_not(sim: Sim) -> None:
    """The array gives a freed LUN number to the next LUN at once: only the serial tells them."""
    driver = sim.san()
    one = disk(driver.create("one", SanOptions()), "one")
    two = disk(driver.create("two", SanOptions()), "two")
    first = _lun(driver.attach(one, NODE_A))
    driver.detach(one, NODE_A)
    second = _lun(driver.attach(two, NODE_A))
    assert first.lun == second.lun
    assert first.serial != second.serial


def test_portals_can_be_named(sim: Sim) -> None:
    """Behind a translation of addresses the operator knows better."""
    driver = sim.san(portals=("192.0.2.1:3260",))
    source = driver.attach(disk(driver.create("data", SanOptions())), NODE_A)
    assert _lun(source).portals == ("192.0.2.1:3260",)


def test_second_node_is_refused_and_changes_nothing(sim: Sim) -> None:
    """The array would let it in; the driver does not, and says who has the LUN."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    driver.attach(volume, NODE_A)
    before = sim.counts()
    with pytest.raises(HeldElsewhere, match=f"mapped to {NODE_A}"):
        driver.attach(volume, NODE_B)
    assert sim.counts() == before
    assert sim.do("writers", name=volume.handle) == [NODE_A]


def test_two_nodes_at_once_never_both(sim: Sim) -> None:
    """Whoever of two maps at the same moment, at most one is told that it has the LUN."""
    driver = sim.san()
    for turn in range(10):
        volume = disk(driver.create(f"data{turn}", SanOptions()), f"data{turn}")
        with ThreadPoolExecutor(2) as pool:
            tried = [pool.submit(driver.attach, volume, node) for node in (NODE_A, NODE_B)]
        won = [one for one in tried if one.exception() is None]
        assert len(won) <= 1
        assert len(sim.do("writers", name=volume.handle)) == len(won)
        assert all(isinstance(one.exception(), HeldElsewhere) for one in tried if one not in won)


def test_many_nodes_may_read(sim: Sim) -> None:
    """A volume that is only read is mapped to all that ask."""
    driver = sim.san()
    handle = driver.create("data", SanOptions())
    volume = disk(handle, access=AccessMode.SHARED_READ)
    driver.attach(volume, NODE_A)
    driver.attach(volume, NODE_B)
    assert sim.do("writers", name=handle) == [NODE_A, NODE_B]


def test_mapped_lun_is_not_deleted(sim: Sim) -> None:
    """ONTAP itself refuses, whatever was looked at before."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    driver.attach(volume, NODE_A)
    with pytest.raises(VolumeInUse, match=f"mapped to {NODE_A}"):
        driver.delete(volume)
    assert sim.counts() == {"volumes": 1, "luns": 1, "igroups": 1, "maps": 1}


def test_detach_leaves_the_nodes_other_volumes(sim: Sim) -> None:
    """A node's group stays while anything else is mapped to it."""
    driver = sim.san()
    one = disk(driver.create("one", SanOptions()), "one")
    two = disk(driver.create("two", SanOptions()), "two")
    driver.attach(one, NODE_A)
    before = driver.attach(two, NODE_A)
    driver.detach(one, NODE_A)
    assert driver.attach(two, NODE_A) == before
    assert sim.do("writers", name=two.handle) == [NODE_A]


def test_a_copied_initiators_name_is_refused(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second machine under a node's name gets nothing, and takes no map for its own."""
    machines = iter(["aaaa-1", "bbbb-2", "bbbb-2", "aaaa-1", "bbbb-2"])
    monkeypatch.setattr(_node, "machine", lambda *_: next(machines))
    driver = sim.san()
    one, two = (disk(driver.create(name, SanOptions()), name) for name in ("one", "two"))
    source = driver.attach(one, NODE_A)
    for volume in (one, two):
        with pytest.raises(HostError, match=r"firmware says aaaa-1, and this one's bbbb-2"):
            driver.attach(volume, NODE_A)
    assert sim.do("writers", name=two.handle) == []
    assert driver.attach(one, NODE_A) == source
    driver.detach(one, NODE_A)
    driver.attach(two, NODE_A)
    assert sim.do("writers", name=two.handle) == [NODE_A]


@pytest.mark.parametrize(
    ("node_id", "configured", "told"),
    [(NODE_A, NODE_A, "4200-ab"), (NODE_B, NODE_A, ""), (NODE_A, "", "")],
)
def test_only_this_machines_firmware_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node_id: str, configured: str, told: str
) -> None:
    """Of another node nothing is known here, nor of one without an initiator's name."""
    (tmp_path / "uuid").write_text("4200-AB\n")
    monkeypatch.setattr(_node, "_FIRMWARE", tmp_path / "uuid")
    monkeypatch.setattr(_node, "_INITIATOR", tmp_path / "none")
    assert _node.machine(node_id, configured) == told


def test_fence_cuts_off_one_node_and_says_so(sim: Sim) -> None:
    """From another machine, with the node's own driver knowing nothing of it."""
    volume = disk(sim.san().create("data", SanOptions()))
    sim.san().attach(volume, NODE_A)
    proof = sim.san(initiator=NODE_B).fence(volume, NODE_A)
    assert NODE_A in proof
    assert "no LUN map" in proof
    assert sim.do("writers", name=volume.handle) == []
    sim.san(initiator=NODE_B).attach(volume, NODE_B)
    assert sim.do("writers", name=volume.handle) == [NODE_B]


def test_fence_does_not_claim_what_it_cannot(sim: Sim) -> None:
    """A node that also reaches the LUN through a group of somebody else's is not cut off."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    _map_by_hand(sim, volume.handle, NODE_A, _FOREIGN)
    with pytest.raises(Unavailable, match=r"not cut off: .* igroup byhand"):
        driver.fence(volume, NODE_A)
    assert sim.do("writers", name=volume.handle) == sorted([NODE_A, _FOREIGN])


def test_fence_needs_the_array(sim: Sim) -> None:
    """No answer is no proof."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    driver.attach(volume, NODE_A)
    sim.trouble("error", "DELETE", "/lun-maps/")
    with pytest.raises(Unavailable):
        driver.fence(volume, NODE_A)
    sim.trouble("gone", "GET", "/lun-maps$", times=9)
    with pytest.raises(Unavailable):
        driver.fence(volume, NODE_A)


def test_maps_by_hand_are_seen(sim: Sim) -> None:
    """Who was let in on the array itself counts as attached, and keeps others out."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    _map_by_hand(sim, volume.handle, _FOREIGN)
    assert [one.node_id for one in driver.attachments(volume)] == [_FOREIGN]
    with pytest.raises(HeldElsewhere, match="byhand"):
        driver.attach(volume, NODE_A)


def test_foreign_flexvol_is_left_alone(sim: Sim) -> None:
    """A FlexVol of that name that volplug did not make is neither used nor deleted."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    [known] = sim.do("list", what="volumes")
    path = f"/storage/volumes/{known['uuid']}"
    sim.do("call", method="PATCH", path=path, body={"comment": "payroll"})
    for verb in (driver.delete, lambda one: driver.attach(one, NODE_A)):
        with pytest.raises(VolumeExists, match="is not volplug's volume 'data'"):
            verb(volume)
    with pytest.raises(VolumeExists):
        driver.create("data", SanOptions())
    assert sim.counts() == {"volumes": 1, "luns": 1}


def test_owners_do_not_meet(sim: Sim) -> None:
    """Two clusters on one SVM have volumes of the same name, and not each other's."""
    east, west = sim.san(), sim.san(owner="west")
    volume = disk(east.create("data", SanOptions()))
    assert west.create("data", SanOptions()) != volume.handle
    for verb in (west.delete, lambda one: west.detach(one, NODE_A)):
        with pytest.raises(Unavailable, match="not one of owner 'west'"):
            verb(volume)


def test_origin_of_a_foreign_clone_keeps_its_data(sim: Sim) -> None:
    """A clone that somebody made on the array stops the delete before anything is lost."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    driver.clone(volume, "copy", SanOptions())
    copy = next(one for one in sim.do("list", what="volumes") if "copy" in one["name"])
    path = f"/storage/volumes/{copy['uuid']}"
    sim.do("call", method="PATCH", path=path, body={"comment": "backup of data"})
    with pytest.raises(VolumeInUse, match="which volplug did not make"):
        driver.delete(volume)
    assert sim.counts()["luns"] == 2


def test_clone_can_be_larger_but_not_smaller_or_another_kind(sim: Sim) -> None:
    """A clone holds its origin's file system."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    handle = driver.clone(volume, "copy", SanOptions(size=Size.parse("128M")))
    source = driver.attach(disk(handle, "copy"), NODE_A)
    assert isinstance(source, Device)
    assert source.size_bytes == 128 << 20
    with pytest.raises(InvalidOptions, match="too small"):
        driver.clone(volume, "less", SanOptions(size=Size.parse("32M")))
    with pytest.raises(InvalidOptions, match="fstype=ext4"):
        driver.clone(volume, "other", SanOptions(fstype="xfs", size=Size.parse("1G")))


def test_clones_from_many_threads_are_one(sim: Sim) -> None:
    """Whoever comes second finds what the first one cloned."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(driver.clone, volume, "copy", SanOptions()) for _ in range(8)]
    assert len({one.result() for one in made}) == 1
    assert sim.counts() == {"volumes": 2, "luns": 2, "snapshots": 1}


def test_expand_grows_the_flexvol_first(sim: Sim) -> None:
    """A LUN is never larger than what is around it, and grows while it is mapped."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    driver.attach(volume, NODE_A)
    driver.expand(volume, Size.parse("1G"))
    changes = sim.calls("PATCH")
    assert [change.split("/")[2] for change in changes] == ["volumes", "luns"]
    with pytest.raises(InvalidOptions, match="cannot shrink"):
        driver.expand(volume, Size.parse("512M"))


def test_node_is_called_by_its_initiator(
    sim: Sim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What open-iscsi uses is read, and a machine without it is told what to do."""
    file = tmp_path / "initiatorname.iscsi"
    monkeypatch.setattr(_node, "_INITIATOR", file)
    driver = sim.san(initiator="")
    with pytest.raises(HostError, match="install open-iscsi"):
        driver.node_id()
    file.write_text("## comment\nInitiatorName=iqn.1993-08.org.Debian:01:AB\n")
    assert driver.node_id() == "iqn.1993-08.org.debian:01:ab"
    file.write_text("GenerateName=yes\n")
    with pytest.raises(HostError, match="names no initiator"):
        driver.node_id()
    volume = disk(driver.create("data", SanOptions()))
    with pytest.raises(InvalidOptions, match="no iSCSI initiator"):
        driver.attach(volume, "node-7")


def test_chap_is_set_once_and_never_shown(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONTAP asks the node for the secret, which stands in no answer and no refusal."""
    monkeypatch.setenv("CHAP_PASSWORD", "opensesame12")
    driver = sim.san(**CHAP)
    volume = disk(driver.create("data", SanOptions()))
    sim.trouble("lost", "POST", "/iscsi/credentials")
    with pytest.raises(Unavailable) as refusal:
        driver.attach(volume, NODE_A)
    assert "opensesame" not in str(refusal.value)
    assert sim.do("writers", name=volume.handle) == []
    assert "opensesame" not in repr(driver.attach(volume, NODE_A))
    [login] = sim.do("value", what="logins")
    assert login["initiator"] == NODE_A
    assert login["chap"] == {"inbound": {"user": "node", "password": "opensesame12"}}
    other = sim.san(**CHAP | {"chap_user": "other"})
    with pytest.raises(InvalidOptions, match="otherwise than as chap_user=other"):
        other.attach(volume, NODE_A)
    with pytest.raises(InvalidOptions, match="belong together"):
        sim.san(chap_user="node")


def test_what_is_told_of_a_volume(sim: Sim) -> None:
    """Operators see what to look for on the array."""
    driver = sim.san()
    volume = disk(driver.create("data", SanOptions()))
    [lun] = sim.do("list", what="luns")
    path = f"/vol/{volume.handle}/lun0"
    wanted = {"size_enforced": "hard", "lun": path, "serial": lun["serial_number"]}
    assert driver.describe(volume) == wanted
