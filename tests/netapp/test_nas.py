"""What holds for shares beyond the contract: rules that are repaired, and what a fence proves."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.netapp.conftest import ADDRESS_A, ADDRESS_B, Sim, share
from volplug.sdk import (
    AccessMode,
    HeldElsewhere,
    InvalidOptions,
    Share,
    Size,
    Unavailable,
    Volume,
    VolumeInUse,
    deadline,
)
from volplug_netapp import NasOptions
from volplug_netapp._rules import seconds

_RULES = "/protocols/nfs/export-policies"


def _may(sim: Sim, volume: Volume[Any], node: str) -> Any:
    return sim.do("may", path=f"/{volume.handle}", node=node)


def _policy(sim: Sim, name: str) -> dict[str, Any]:
    return next(one for one in sim.do("list", what="policies") if one["name"] == name)


def _rule(sim: Sim, volume: Volume[Any], client: str) -> None:
    body = {"clients": [{"match": client}], "protocols": ["nfs"], "superuser": ["sys"]}
    body |= {"ro_rule": ["sys"], "rw_rule": ["sys"]}
    place = f"{_RULES}/{_policy(sim, volume.handle)['id']}/rules"
    sim.do("call", method="POST", path=place, body=body)


@pytest.fixture
def volume(sim: Sim) -> Volume[NasOptions]:
    """A share that nobody has."""
    return share(sim.nas().create("data", NasOptions()))


def test_share_says_what_to_mount(sim: Sim, volume: Volume[NasOptions]) -> None:
    """The LIF, the junction path, and options that errors of programs do not come from."""
    source = sim.nas().attach(volume, ADDRESS_A)
    assert isinstance(source, Share)
    assert source.source == f"127.0.0.1:/{volume.handle}"
    assert {"vers=4.1", "hard", "nosuid", "nodev", "retry=0"} <= set(source.mount_options)
    named = sim.nas(server="2001:db8::1", version="3", mount_options=("nconnect=4", "timeo=100"))
    source = named.attach(volume, ADDRESS_A)
    assert isinstance(source, Share)
    assert source.source == f"[2001:db8::1]:/{volume.handle}"
    assert {"vers=3", "nconnect=4", "timeo=100"} <= set(source.mount_options)
    assert "timeo=600" not in source.mount_options


def test_nobody_is_let_in_before_attach(sim: Sim, volume: Volume[NasOptions]) -> None:
    """A fresh share is closed, and one that was detached is closed again."""
    driver = sim.nas()
    assert _may(sim, volume, ADDRESS_A) == "nothing"
    driver.attach(volume, ADDRESS_A)
    assert (_may(sim, volume, ADDRESS_A), _may(sim, volume, ADDRESS_B)) == ("write", "nothing")
    driver.detach(volume, ADDRESS_A)
    assert _may(sim, volume, ADDRESS_A) == "nothing"


def test_second_node_is_refused_unless_shared(sim: Sim, volume: Volume[NasOptions]) -> None:
    """One node at a time, any number, or readers only: as the access mode says."""
    driver = sim.nas()
    driver.attach(volume, ADDRESS_A)
    with pytest.raises(HeldElsewhere, match=f"lets in {ADDRESS_A}"):
        driver.attach(volume, ADDRESS_B)
    assert _may(sim, volume, ADDRESS_B) == "nothing"
    both = share(volume.handle, access=AccessMode.SHARED)
    driver.attach(both, ADDRESS_B)
    assert (_may(sim, volume, ADDRESS_A), _may(sim, volume, ADDRESS_B)) == ("write", "write")
    driver.attach(share(volume.handle, access=AccessMode.SHARED_READ), ADDRESS_B)
    assert (_may(sim, volume, ADDRESS_A), _may(sim, volume, ADDRESS_B)) == ("write", "read")


def test_two_nodes_at_once_never_both(sim: Sim) -> None:
    """Whoever of two is let in at the same moment, at most one is told so."""
    driver = sim.nas()
    for turn in range(10):
        volume = share(driver.create(f"data{turn}", NasOptions()), f"data{turn}")
        with ThreadPoolExecutor(2) as pool:
            tried = [pool.submit(driver.attach, volume, node) for node in (ADDRESS_A, ADDRESS_B)]
        won = [one for one in tried if one.exception() is None]
        may = [_may(sim, volume, node) for node in (ADDRESS_A, ADDRESS_B)]
        assert len(won) <= 1
        assert may.count("write") == len(won)


def test_lost_rule_is_made_again(sim: Sim, volume: Volume[NasOptions]) -> None:
    """Each attach compares what is there with what is wanted."""
    driver = sim.nas()
    before = driver.attach(volume, ADDRESS_A)
    place = f"{_RULES}/{_policy(sim, volume.handle)['id']}/rules/1"
    sim.do("call", method="DELETE", path=place)
    assert driver.attach(volume, ADDRESS_A) == before
    assert _may(sim, volume, ADDRESS_A) == "write"


def test_lost_policy_and_junction_are_made_again(sim: Sim, volume: Volume[NasOptions]) -> None:
    """A FlexVol that was restored or moved elsewhere comes back to its own policy and path."""
    driver = sim.nas()
    driver.attach(volume, ADDRESS_A)
    [known] = sim.do("list", what="volumes")
    nas = {"path": "/elsewhere", "export_policy": {"name": "default"}}
    path = f"/storage/volumes/{known['uuid']}"
    sim.do("call", method="PATCH", path=path, body={"nas": nas})
    sim.do("call", method="DELETE", path=f"{_RULES}/{_policy(sim, volume.handle)['id']}")
    driver.attach(volume, ADDRESS_A)
    assert _may(sim, volume, ADDRESS_A) == "write"
    assert sim.counts()["rules"] == 1


def test_clone_does_not_share_its_origins_policy(sim: Sim, volume: Volume[NasOptions]) -> None:
    """Who has the origin does not reach the clone, and letting go of one leaves the other."""
    driver = sim.nas()
    copy = share(driver.clone(volume, "copy", NasOptions(size=Size.parse("1G"))), "copy")
    driver.attach(volume, ADDRESS_A)
    assert _may(sim, copy, ADDRESS_A) == "nothing"
    driver.attach(copy, ADDRESS_A)
    driver.detach(copy, ADDRESS_A)
    assert (_may(sim, volume, ADDRESS_A), _may(sim, copy, ADDRESS_A)) == ("write", "nothing")
    with pytest.raises(InvalidOptions, match="too small"):
        driver.clone(copy, "less", NasOptions(size=Size.parse("32M")))


def test_exported_share_is_not_deleted(sim: Sim, volume: Volume[NasOptions]) -> None:
    """Who is let in is named."""
    driver = sim.nas()
    driver.attach(volume, ADDRESS_A)
    with pytest.raises(VolumeInUse, match=f"exported to {ADDRESS_A}"):
        driver.delete(volume)
    assert sim.counts()["volumes"] == 1


def test_fence_cuts_off_one_node_of_several(sim: Sim, volume: Volume[NasOptions]) -> None:
    """The other nodes never notice."""
    driver = sim.nas()
    both = share(volume.handle, access=AccessMode.SHARED)
    driver.attach(both, ADDRESS_A)
    driver.attach(both, ADDRESS_B)
    proof = driver.fence(both, ADDRESS_A)
    assert "no rule" in proof
    assert ADDRESS_A in proof
    assert (_may(sim, volume, ADDRESS_A), _may(sim, volume, ADDRESS_B)) == ("nothing", "write")


@pytest.mark.parametrize("client", ["0.0.0.0/0", "127.0.0.0/8", "nodes.example", "@cluster"])
def test_fence_does_not_claim_what_it_cannot(
    sim: Sim, volume: Volume[NasOptions], client: str
) -> None:
    """A rule by hand that may let the node in stays, and is named."""
    driver = sim.nas()
    driver.attach(volume, ADDRESS_A)
    _rule(sim, volume, client)
    with pytest.raises(Unavailable, match=f"not cut off: rule 1 .* is for {client}"):
        driver.fence(volume, ADDRESS_A)
    assert len(_policy(sim, volume.handle)["rules"]) == 1


def test_rule_for_others_is_no_hindrance(sim: Sim, volume: Volume[NasOptions]) -> None:
    """A network that the node is not in proves nothing against it."""
    _rule(sim, volume, "192.0.2.0/24")
    assert sim.nas().fence(volume, ADDRESS_A)


def test_fence_waits_until_the_node_is_not_seen_any_more(
    sim: Sim, volume: Volume[NasOptions]
) -> None:
    """The list of rules is not believed alone: a controller caches who was let in."""
    driver = sim.nas()
    driver.attach(volume, ADDRESS_A)
    seen = {"svm": {"name": "svm1"}, "volume": {"name": volume.handle}, "client_ip": ADDRESS_A}
    sim.do("set", what="clients", value=[{**seen, "idle_duration": "PT0S"}])
    with pytest.raises(Unavailable, match=r"not proven cut off: .* stop the node"), deadline(1):
        driver.fence(volume, ADDRESS_A)
    sim.do("set", what="clients", value=[{**seen, "idle_duration": "PT1M"}])
    assert driver.fence(volume, ADDRESS_A)


def test_fence_looks_at_the_policy_in_force(sim: Sim, volume: Volume[NasOptions]) -> None:
    """A share that was put under another policy is put back first, or it would stay open."""
    driver = sim.nas()
    driver.attach(volume, ADDRESS_A)
    [known] = sim.do("list", what="volumes")
    open_to_all = {"clients": [{"match": "0.0.0.0/0"}], "rw_rule": ["sys"]}
    sim.do("call", method="POST", path=f"{_RULES}/1/rules", body=open_to_all)
    nas = {"nas": {"export_policy": {"name": "default"}}}
    sim.do("call", method="PATCH", path=f"/storage/volumes/{known['uuid']}", body=nas)
    assert _may(sim, volume, ADDRESS_A) == "write"
    driver.fence(volume, ADDRESS_A)
    assert _may(sim, volume, ADDRESS_A) == "nothing"


def test_node_is_called_by_its_address(sim: Sim, volume: Volume[NasOptions]) -> None:
    """The address that the LIF sees is found by itself, or set; a name is none."""
    assert sim.nas().node_id() == "127.0.0.1"
    assert sim.nas(node_address="10.9.8.7").node_id() == "10.9.8.7"
    with pytest.raises(InvalidOptions, match="no address"):
        sim.nas().attach(volume, "node-7")
    with pytest.raises(Unavailable, match="node_address"):
        sim.nas(server="no.such.host.invalid").node_id()


@pytest.mark.parametrize(
    ("period", "wanted"),
    [("PT0S", 0), ("PT5S", 5), ("PT1M2.5S", 62.5), ("P1DT1H", 90000), ("soon", 0)],
)
def test_periods(period: str, wanted: float) -> None:
    """What cannot be read was just now: the careful answer."""
    assert seconds(period) == wanted


def test_origin_of_a_fresh_clone_can_go(sim: Sim, volume: Volume[NasOptions]) -> None:
    """A clone that nobody has attached yet does not hold its origin's policy."""
    driver = sim.nas()
    driver.clone(volume, "copy", NasOptions())
    driver.delete(volume)
    assert sim.counts() == {"volumes": 1, "policies": 1}


def test_what_is_told_of_a_volume(sim: Sim, volume: Volume[NasOptions]) -> None:
    """Operators see what to look for on the array."""
    wanted = {"size_enforced": "hard", "flexvol": volume.handle, "path": f"/{volume.handle}"}
    assert sim.nas().describe(volume) == wanted
