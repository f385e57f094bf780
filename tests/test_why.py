"""The promises of `why` on a node that runs: the answer begins as the Mount's refusal does."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.small_node import SmallNode
from volplug.admin import views
from volplug.backends import Backends
from volplug.deadline import deadline, wait_until
from volplug.errors import HeldElsewhere, Unavailable, VolplugError
from volplug.event import Event
from volplug.lease import Lease
from volplug.session import silence_s
from volplug.takeover import Storage, Takeover
from volplug.verdict import Case
from volplug.why import Answer


@pytest.fixture
def node(tmp_path: Path) -> SmallNode:
    """A node `n1` with a volume `data`."""
    node = SmallNode(tmp_path)
    node.create("data")
    return node


@pytest.fixture
def other(node: SmallNode, tmp_path: Path) -> SmallNode:
    """A second node, `n2`, on the same store and cloud."""
    return SmallNode(tmp_path, "n2", beside=node)


def why(node: SmallNode, name: str = "data") -> Answer:
    """Ask a node."""
    return node.administration.why(name)


def refused(node: SmallNode, name: str = "data") -> str:
    """Mount, and return the refusal."""
    with pytest.raises(VolplugError) as error:
        node.service.mount(name, "c1")
    return str(error.value)


def silence(node: SmallNode, seconds: float) -> None:
    """Let every other node's session be silent for so long."""
    node.leases.leases()
    node.clock.sleep(seconds)
    node.leases.renew()


def test_life_of_a_volume(node: SmallNode) -> None:
    """From nothing to free, held and free again, with its users while it has some."""
    assert why(node, "dato").verdict.next == "similar names: 'data'"
    assert why(node).verdict.case is Case.FREE
    node.service.mount("data", "c1")
    told = why(node)
    assert (told.verdict.case, told.used_by) == (Case.HERE, ("c1",))
    assert [holder.node for holder in told.holders] == ["n1"]
    node.service.unmount("data", "c1")
    node.mounts.drain("data")
    assert why(node).verdict.case is Case.FREE


def test_refusal_of_what_is_not_there(node: SmallNode) -> None:
    """A Mount of no volume is refused with the first sentence."""
    assert refused(node, "dato") == why(node, "dato").verdict.sentence


def test_refusal_of_what_is_being_made(node: SmallNode) -> None:
    """A Mount before the volume is made is refused with the first sentence."""
    node.cloud.fail("create", Unavailable("the cloud is away"))
    with pytest.raises(Unavailable):
        node.create("late")
    told = why(node, "late")
    assert told.verdict.case is Case.CREATING
    assert "the cloud is away" in told.verdict.next
    assert refused(node, "late") == told.verdict.sentence


def test_refusal_of_what_is_being_deleted(node: SmallNode) -> None:
    """A Mount while the volume is deleted is refused with the first sentence."""
    node.cloud.fail("delete", Unavailable("the cloud is away"))
    with pytest.raises(Unavailable):
        node.service.remove("data")
    told = why(node)
    assert told.verdict.case is Case.DELETING
    assert refused(node) == told.verdict.sentence


def test_refusal_by_a_live_holder(node: SmallNode, other: SmallNode) -> None:
    """A Mount that another node bars is refused with the first sentence."""
    other.service.mount("data", "c9")
    told = why(node)
    assert told.verdict.case is Case.LIVE
    assert refused(node) == told.verdict.sentence == why(node).verdict.sentence


def test_silence_grows(node: SmallNode, other: SmallNode) -> None:
    """A holder that is not heard of is told with its seconds, and then may be fenced."""
    other.service.mount("data", "c9")
    silence(node, 9)
    assert why(node).verdict.next.startswith("its node has been silent for 9 s; at 16 s node 'n1'")
    node.clock.sleep(silence_s(12_000) - 9)
    told = why(node)
    assert told.verdict.case is Case.LAPSED
    assert told.holders[0].silent_s == silence_s(12_000)


def test_failed_fence(node: SmallNode, other: SmallNode) -> None:
    """After a fence that failed, the refusal is the first sentence, and the reason is told."""
    other.service.mount("data", "c9")
    silence(node, 60)
    node.cloud.fail("fence", Unavailable("the cloud is away"))
    said = refused(node)
    told = why(node)
    assert told.verdict.case is Case.FENCE_FAILED
    assert told.verdict.sentence == said
    assert told.verdict.next.endswith("failed: the cloud is away")
    assert any("fence failed" in line for line in told.tried)


def test_condemned_and_taken(node: SmallNode, other: SmallNode) -> None:
    """An operator's word is told on both sides: here the volume is to be had, there it is lost."""
    other.service.mount("data", "c9")
    silence(node, 60)
    node.administration.release("data", by="anna@n1", reason="its plug is out")
    assert "by anna@n1 (its plug is out)" in why(node).verdict.sentence
    assert why(node).verdict.case is Case.CONDEMNED
    assert why(other).verdict.case is Case.TAKEN


def test_refusal_of_a_second_container(node: SmallNode) -> None:
    """Where one container is admitted, the second one's refusal is the first sentence."""
    node.create("one", {"access": "single-container"})
    node.service.mount("one", "c9")
    assert refused(node, "one") == why(node, "one").verdict.sentence


def test_backend_that_failed_a_mount(node: SmallNode) -> None:
    """What the backend said to the last Mount is the first sentence, until one succeeds."""
    node.cloud.fail("attach", Unavailable("the cloud is away"))
    assert refused(node) == why(node).verdict.sentence == "the cloud is away"
    node.service.mount("data", "c1")
    assert why(node).verdict.case is Case.HERE


def test_who_waits_is_told_meanwhile(node: SmallNode, other: SmallNode) -> None:
    """While a Mount waits for another node's release, the answer says so."""
    other.service.mount("data", "c9")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(refused, node)
        with deadline(30.0):
            wait_until(lambda: bool(why(node).waiting) or waiting.done(), "a wait", poll_s=0.001)
        told = [entry.event for entry in node.node.journal.entries("data")]
        waiting.result()
    assert Event.WAIT in told
    assert why(node).waiting == ()


def test_waiters_of_other_nodes_are_said_not_to_be_shown(node: SmallNode, other: SmallNode) -> None:
    """The operator is told under `waiting` that a node knows its own waiters only."""
    other.leases.renew()
    node.service.mount("data", "c1")
    shown = views.why(asdict(why(node)))
    assert "waiting" in shown
    assert "Mounts that wait on other nodes are not shown here" in shown


def test_one_node_has_no_waiters_elsewhere(node: SmallNode) -> None:
    """Where no other node is known, nothing is said of them."""
    node.service.mount("data", "c1")
    assert "waiting" not in views.why(asdict(why(node)))


def test_store_that_is_down(node: SmallNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the store away the answer says so, and goes by what is known."""

    def away(*_: object) -> list[Lease]:
        raise Unavailable("no member of the store answered")

    monkeypatch.setattr(node.leases, "silences", away)
    told = why(node)
    assert told.verdict.case is Case.STORE_DOWN
    assert told.verdict.sentence == "no member of the store answered"


def test_what_was_noted_of_an_earlier_volume_is_left_out(node: SmallNode) -> None:
    """A volume that is made anew does not answer for the one that had its name."""
    node.cloud.fail("attach", Unavailable("the cloud is away"))
    refused(node)
    node.service.remove("data")
    node.create("data")
    assert why(node).verdict.case is Case.FREE
    assert why(node).tried == ()


def test_one_sentence_for_both(node: SmallNode, other: SmallNode) -> None:
    """The refusal that the journal keeps is the sentence as well."""
    other.service.mount("data", "c9")
    with pytest.raises(HeldElsewhere):
        node.service.mount("data", "c1")
    [entry] = [one for one in node.node.journal.entries() if one.event is Event.REFUSE]
    assert entry.reason == why(node).verdict.sentence


def test_a_fence_is_promised_only_where_it_is_given(
    node: SmallNode, other: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where takeover is manual, the answer asks for a person's word, and so does a Mount."""
    monkeypatch.setattr(Backends, "takeover", lambda *_: Takeover.MANUAL)
    other.service.mount("data", "c9")
    silence(node, 60)
    told = why(node)
    assert told.verdict.case is Case.LAPSED
    assert told.verdict.next == "takeover is manual, so the lease waits for a person's word"
    assert told.verdict.command.startswith("volplug lease evict n2 --powered-off --reason")
    assert refused(node) == told.verdict.sentence
    node.administration.membership.evict("n2", by="anna@n1", reason="its plug is out")
    assert why(node).verdict.case is Case.CONDEMNED


def test_a_silence_is_told_where_it_is_enough(
    node: SmallNode, other: SmallNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder whose guard has stopped it is no matter for a person: the Mount succeeds."""
    monkeypatch.setattr(
        "volplug.evidence.storage_of", lambda *_: Storage(fencing=False, drain_s=0.0)
    )
    monkeypatch.setattr("volplug.fences.storage_of", lambda *_: Storage(fencing=False, drain_s=0.0))
    other.service.mount("data", "c9")
    other.leases.renew(guard_level=2)
    silence(node, 60)
    told = why(node)
    assert told.verdict.next.startswith("its node has stopped itself by now")
    assert told.verdict.command == ""
    node.service.mount("data", "c1")
    assert why(node).verdict.case is Case.HERE


def test_refusal_of_a_node_that_has_to_clean_up(node: SmallNode, other: SmallNode) -> None:
    """A node that was taken from gets nothing else meanwhile, and is told so in the same words."""
    node.create("logs")
    other.service.mount("data", "c9")
    silence(node, 60)
    node.administration.release("data", by="anna@n1", reason="its plug is out")
    other.leases.renew()
    told = why(other, "logs")
    assert told.verdict.case is Case.QUARANTINED
    with other.host.use("data"):
        assert refused(other, "logs") == told.verdict.sentence
    assert why(node, "logs").verdict.case is Case.FREE
