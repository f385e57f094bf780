"""What is kept of fences, which nodes are kept out after one, and which can be forgotten."""

from dataclasses import replace

import pytest

from volplug.errors import HeldElsewhere, HostError, VolumeInUse
from volplug.lease import Fence, FenceState, Lease, LeaseState, LeaseTable
from volplug.session import Presence, Quarantine
from volplug.testing.clock import FakeClock
from volplug.testing.lease_fixtures import EXCLUSIVE, TIMES, LeaseFixtures, LeaseStore, Tables, W
from volplug.volume import AccessMode


class FenceContract(LeaseFixtures):
    """Fences, which are stored before the storage is asked and after it answered."""

    def test_fence_is_kept(self, table: Tables, clock: FakeClock, store: LeaseStore) -> None:
        """Required, then done, in every field, for all nodes to see and past a restart."""
        a, b = table("a"), table("b")
        lease = _lapsed(a, b, clock)
        required = Fence("data", "a", lease.token, FenceState.REQUIRED, "b", "", clock.utc())
        assert b.note_fence(lease, FenceState.REQUIRED) == required
        assert b.fences() == b.fences("data") == [required]
        clock.sleep(2)
        done = replace(required, state=FenceState.DONE, words="cut off", at=clock.utc())
        assert b.note_fence(lease, FenceState.DONE, "cut off") == done
        store.reopen()
        assert table("c").fences() == [done]
        assert table("c").fences("logs") == []

    def test_what_is_done_stays_done(self, table: Tables, clock: FakeClock) -> None:
        """Neither a late failure nor a second taker takes a proof back."""
        a, b, c = table("a"), table("b"), table("c")
        lease = _lapsed(a, b, clock, c)
        b.note_fence(lease, FenceState.REQUIRED)
        done = b.note_fence(lease, FenceState.DONE, "cut off")
        for _ in range(TIMES):
            assert c.note_fence(lease, FenceState.REQUIRED) == done
            assert c.note_fence(lease, FenceState.FAILED, "late") == done
        assert a.fences() == [done]

    def test_next_taker_goes_on(self, table: Tables, clock: FakeClock) -> None:
        """What one taker left half done, or failed at, another one requires anew and finishes."""
        a, b, c = table("a"), table("b"), table("c")
        lease = _lapsed(a, b, clock, c)
        b.note_fence(lease, FenceState.REQUIRED)
        again = c.note_fence(lease, FenceState.REQUIRED)
        assert again is not None
        assert (again.state, again.by) == (FenceState.REQUIRED, "c")
        failed = c.note_fence(lease, FenceState.FAILED, "the array is away")
        assert failed is not None
        assert (failed.state, failed.words) == (FenceState.FAILED, "the array is away")
        again = b.note_fence(lease, FenceState.REQUIRED)
        assert again is not None
        assert (again.state, again.by) == (FenceState.REQUIRED, "b")

    def test_only_a_lapsed_lease_is_fenced(self, table: Tables, clock: FakeClock) -> None:
        """A fence is not required for a live lease, one that is condemned, nor one that is gone."""
        a, b = table("a"), table("b")
        live = a.acquire("data", EXCLUSIVE)
        assert b.note_fence(live, FenceState.REQUIRED) is None
        clock.sleep(W)
        b.condemn(b.leases()[0], by="alice", reason="off")
        assert b.note_fence(live, FenceState.REQUIRED) is None
        b.release(b.acquire("data", EXCLUSIVE))
        assert b.note_fence(live, FenceState.REQUIRED) is None
        assert b.fences() == []

    def test_fence_is_of_one_token(self, table: Tables, clock: FakeClock) -> None:
        """The fence of an old token says nothing of the newer lease of the same node (I12)."""
        a, b = table("a"), table("b")
        lease = _lapsed(a, b, clock)
        b.note_fence(lease, FenceState.REQUIRED)
        a.renew()
        a.release(lease)
        newer = a.acquire("data", EXCLUSIVE)
        assert b.note_fence(newer, FenceState.DONE, "too late") is None
        assert b.note_fence(lease, FenceState.REQUIRED) is None
        assert [(each.token, each.state) for each in b.fences()] == [
            (lease.token, FenceState.REQUIRED)
        ]
        assert [each.state for each in b.leases()] == [LeaseState.LIVE]

    def test_fence_that_nobody_required_is_not_settled(
        self, table: Tables, clock: FakeClock
    ) -> None:
        """A proof without an order before it is not kept, for nobody knows whose deed it was."""
        a, b = table("a"), table("b")
        lease = _lapsed(a, b, clock)
        assert b.note_fence(lease, FenceState.DONE, "cut off") is None
        assert b.fences() == []


class QuarantineContract(LeaseFixtures):
    """Nodes from which leases were taken get no new ones before they reported."""

    def test_node_is_kept_out_until_it_reported(self, table: Tables) -> None:
        """No new lease of any volume; the sentence names what was taken; a report lets it in."""
        a, b = table("a"), table("b")
        lease = a.acquire("data", EXCLUSIVE)
        b.condemn(lease, by="alice", reason="off")
        b.release(b.acquire("data", EXCLUSIVE))
        for volume in ("data", "logs"):
            with pytest.raises(HeldElsewhere, match=r"node 'a' gets no new lease: .*'data'"):
                a.acquire(volume, EXCLUSIVE)
        assert a.leases() == []
        assert a.stale() == [("data", lease.token)]
        for _ in range(TIMES):
            a.report_clean("data", lease.token)
        assert a.stale() == []
        assert a.acquire("logs", EXCLUSIVE).node == "a"

    def test_every_token_is_reported(self, table: Tables) -> None:
        """One report of several lets nobody in, and a report of another's changes nothing."""
        a, b = table("a"), table("b")
        first, second = (a.acquire(name, EXCLUSIVE) for name in ("data", "logs"))
        for lease in (first, second):
            b.condemn(lease, by="alice", reason="off")
        a.report_clean("data", first.token)
        b.report_clean("logs", second.token)
        a.report_clean("data", second.token)
        with pytest.raises(HeldElsewhere, match="'logs'"):
            a.acquire("media", EXCLUSIVE)
        assert a.stale() == [("logs", second.token)]

    def test_others_are_not_kept_out(self, table: Tables) -> None:
        """Whoever took the lease, and everybody else, is granted what is free."""
        a, b = table("a"), table("b")
        b.condemn(a.acquire("data", EXCLUSIVE), by="alice", reason="off")
        assert b.acquire("data", EXCLUSIVE).node == "b"
        assert b.stale() == []

    def test_leases_that_stand_are_kept(self, table: Tables) -> None:
        """A node that is kept out goes on with those leases that were not taken from it."""
        a, b = table("a"), table("b")
        kept = a.acquire("logs", EXCLUSIVE)
        b.condemn(a.acquire("data", EXCLUSIVE), by="alice", reason="off")
        assert a.acquire("logs", EXCLUSIVE) == kept

    def test_reboot_of_known_hardware_is_clean(self, table: Tables, store: LeaseStore) -> None:
        """Nothing of before is mounted after a boot: it is let in at once."""
        a, b = table("a"), table("b")
        b.condemn(a.acquire("data", EXCLUSIVE), by="alice", reason="off")
        store.reopen()
        rebooted = table("a", boot="boot-2", instance="instance-2")
        assert rebooted.stale() == []
        assert rebooted.nodes()[0].quarantine is Quarantine.CLEAN
        assert rebooted.acquire("data", EXCLUSIVE).node == "a"

    def test_restart_is_not_clean(self, table: Tables, store: LeaseStore) -> None:
        """A process that begins anew on the same boot has to look for mounts first."""
        a, b = table("a"), table("b")
        lease = a.acquire("data", EXCLUSIVE)
        b.condemn(lease, by="alice", reason="off")
        store.reopen()
        restarted = table("a", instance="instance-2")
        assert restarted.stale() == [("data", lease.token)]
        with pytest.raises(HeldElsewhere, match="gets no new lease"):
            restarted.acquire("logs", EXCLUSIVE)

    def test_quarantine_is_told(self, table: Tables, clock: FakeClock) -> None:
        """Clean, then dirty while it is silent, cleanable once it is back, and clean again."""
        a, b = table("a"), table("b")
        told = [b.nodes()[0].quarantine]
        lease = _lapsed(a, b, clock)
        b.condemn(lease, by="alice", reason="off")
        told.append(b.nodes()[0].quarantine)
        a = table("a", instance="instance-2")
        told.append(b.nodes()[0].quarantine)
        a.report_clean("data", lease.token)
        told.append(b.nodes()[0].quarantine)
        assert told == [
            Quarantine.CLEAN,
            Quarantine.DIRTY,
            Quarantine.CLEANABLE,
            Quarantine.CLEAN,
        ]
        assert b.nodes()[1].quarantine is Quarantine.CLEAN


class ForgetContract(LeaseFixtures):
    """Nodes that are gone for good."""

    def test_silent_node_is_forgotten(self, table: Tables, clock: FakeClock) -> None:
        """Without leases and silent it goes from the list; repeating is success."""
        table("a")
        b = table("b")
        b.nodes()
        clock.sleep(W)
        b.renew()
        for _ in range(TIMES):
            b.forget("a")
        assert [each.node for each in b.nodes()] == ["b"]
        b.forget("nobody")

    def test_living_node_is_not_forgotten(self, table: Tables, clock: FakeClock) -> None:
        """One that was heard of within W is refused, in a sentence; so is one's own node."""
        table("a")
        b = table("b")
        b.nodes()
        clock.sleep(W - 0.001)
        for node in ("a", "b"):
            with pytest.raises(VolumeInUse, match=f"node '{node}' was heard of"):
                b.forget(node)
        assert [each.node for each in b.nodes()] == ["a", "b"]

    def test_holder_is_not_forgotten(self, table: Tables, clock: FakeClock) -> None:
        """One on which leases hang is refused, and the sentence names them and the command."""
        a, b = table("a"), table("b")
        lease = _lapsed(a, b, clock)
        with pytest.raises(VolumeInUse, match=r"holds leases of data: .*lease evict a"):
            b.forget("a")
        assert b.leases() == [lease]

    def test_forgotten_node_comes_back(self, table: Tables, clock: FakeClock) -> None:
        """Its old process is refused, a new one registers, and is kept out until it reported."""
        a, b = table("a"), table("b")
        lease = _lapsed(a, b, clock)
        b.condemn(lease, by="alice", reason="off")
        b.release(b.acquire("data", AccessMode.SHARED))
        assert b.nodes()[0].presence in (Presence.SILENT, Presence.DEAD)
        b.forget("a")
        with pytest.raises(HostError):
            a.renew()
        a = table("a", instance="instance-2")
        with pytest.raises(HeldElsewhere, match="gets no new lease"):
            a.acquire("logs", EXCLUSIVE)
        a.report_clean("data", lease.token)
        assert a.acquire("data", EXCLUSIVE).token > lease.token


def _lapsed(holder: LeaseTable, taker: LeaseTable, clock: FakeClock, *others: LeaseTable) -> Lease:
    """Return a lease that the holder has let lapse, as the taker and the others see it."""
    holder.acquire("data", EXCLUSIVE)
    for each in (taker, *others):
        each.leases()
    clock.sleep(W)
    for each in (taker, *others):
        each.renew()
    [lease] = taker.leases("data")
    assert lease.state is LeaseState.LAPSED
    return lease
