"""How leases move away from holders: silence, condemnation, restarts and reboots."""

from collections.abc import Callable

import pytest

from volplug.errors import HeldElsewhere, HostError
from volplug.lease import LeaseState
from volplug.session import silence_s
from volplug.testing.clock import FakeClock
from volplug.testing.lease_fixtures import EXCLUSIVE, TIMES, LeaseFixtures, LeaseStore, Tables, W
from volplug.volume import AccessMode


class SilenceContract(LeaseFixtures):
    """When a lease lapses."""

    def test_lease_lapses_after_w(self, table: Tables, clock: FakeClock) -> None:
        """A lease is live until its session was seen unchanged for W, and lapsed from then on."""
        a, b = table("a"), table("b")
        a.acquire("data", EXCLUSIVE)
        assert b.leases()[0].state is LeaseState.LIVE
        clock.sleep(W - 0.001)
        assert b.leases()[0].state is LeaseState.LIVE
        clock.sleep(0.001)
        assert b.leases()[0].state is LeaseState.LAPSED

    def test_renewal_keeps_leases_live(self, table: Tables, clock: FakeClock) -> None:
        """One renewal keeps all leases of a node live, and brings lapsed ones back."""
        a, b = table("a"), table("b")
        a.acquire("data", EXCLUSIVE)
        a.acquire("logs", EXCLUSIVE)
        for _ in range(TIMES):
            b.leases()
            clock.sleep(W - 1)
            a.renew()
            assert [lease.state for lease in b.leases()] == [LeaseState.LIVE] * 2
        clock.sleep(W)
        assert [lease.state for lease in b.leases()] == [LeaseState.LAPSED] * 2
        a.renew()
        assert [lease.state for lease in b.leases()] == [LeaseState.LIVE] * 2

    def test_silence_is_told(self, table: Tables, clock: FakeClock) -> None:
        """How long a holder was not heard of grows with each look, and ends with its renewal."""
        a, b = table("a"), table("b")
        token = a.acquire("data", EXCLUSIVE).token
        told = [b.silences("data")[token]]
        clock.sleep(9)
        told.append(b.silences("data")[token])
        a.renew()
        told.append(b.silences("data")[token])
        assert [one.lasted_s for one in told] == [0, 9, 0]
        assert {one.limit_s for one in told} == {W}
        assert told[0].since == told[1].since < told[2].since
        assert b.silences("logs") == {}

    def test_wait_begins_at_the_first_look(self, table: Tables, clock: FakeClock) -> None:
        """However long a session was silent, a new observer waits for W on its own clock."""
        table("a").acquire("data", EXCLUSIVE)
        clock.sleep(100 * W)
        b = table("b")
        assert b.leases()[0].state is LeaseState.LIVE
        clock.sleep(W)
        assert b.leases()[0].state is LeaseState.LAPSED

    def test_holder_says_how_long_it_may_write(self, table: Tables, clock: FakeClock) -> None:
        """W is computed from the holder's own hold time, not from the observer's."""
        slow = silence_s(60_000)
        table("a", hold_ms=60_000).acquire("data", EXCLUSIVE)
        b = table("b")
        clock.sleep(slow - 0.001)
        assert b.leases()[0].state is LeaseState.LIVE
        clock.sleep(0.001)
        assert b.leases()[0].state is LeaseState.LAPSED


class CondemnationContract(LeaseFixtures):
    """What condemning a lease does, and never does."""

    def test_condemned_lease_is_taken(self, table: Tables, clock: FakeClock) -> None:
        """A condemned lease bars nobody: the next acquire removes it and grants a greater token."""
        a, b = table("a"), table("b")
        old = a.acquire("data", EXCLUSIVE)
        clock.sleep(7)
        b.condemn(old, by="alice", reason="the node burnt down")
        assert [lease.state for lease in b.leases()] == [LeaseState.CONDEMNED]
        new = b.acquire("data", EXCLUSIVE)
        assert new.token > old.token
        assert b.leases() == [new]

    def test_condemnation_is_kept(self, table: Tables, clock: FakeClock, store: LeaseStore) -> None:
        """Who condemned what, when and why is kept for ever: past acquires and restarts."""
        a, b = table("a"), table("b")
        old = a.acquire("data", EXCLUSIVE)
        clock.sleep(7.5)
        b.condemn(old, by="älice ☃", reason="the node\nburnt 'down'")
        at = clock.utc()
        b.release(b.acquire("data", EXCLUSIVE))
        store.reopen()
        (kept,) = table("b").condemnations()
        assert (kept.volume, kept.node, kept.token) == ("data", "a", old.token)
        assert (kept.by, kept.reason, kept.at) == ("älice ☃", "the node\nburnt 'down'", at)

    def test_condemn_ten_times(self, table: Tables, clock: FakeClock) -> None:
        """Condemning again is success, and the first word stands."""
        a, b = table("a"), table("b")
        lease = a.acquire("data", EXCLUSIVE)
        b.condemn(lease, by="alice", reason="first")
        first = b.condemnations()
        for _ in range(TIMES):
            clock.sleep(1)
            b.condemn(lease, by="bob", reason="second")
        assert b.condemnations() == first

    def test_condemn_of_a_lease_that_is_gone(self, table: Tables) -> None:
        """Condemning a lease that was released is success, and nothing is kept of it."""
        a, b = table("a"), table("b")
        lease = a.acquire("data", EXCLUSIVE)
        a.release(lease)
        b.condemn(lease, by="alice", reason="too late")
        assert b.condemnations() == []

    def test_condemn_never_touches_a_newer_lease(self, table: Tables) -> None:
        """An old token, however often condemned, leaves a newer lease of the same node alone."""
        a, b = table("a"), table("b")
        old = a.acquire("data", EXCLUSIVE)
        b.condemn(old, by="alice", reason="off")
        a.release(old)
        a.report_clean("data", old.token)
        new = a.acquire("data", EXCLUSIVE)
        for _ in range(TIMES):
            b.condemn(old, by="alice", reason="off")
        assert b.leases() == [new]
        with pytest.raises(HeldElsewhere):
            b.acquire("data", EXCLUSIVE)

    def test_condemned_lease_is_not_given_again(self, table: Tables) -> None:
        """Not even its own holder gets a condemned lease back: it gets a new one."""
        a, b = table("a"), table("b")
        old = a.acquire("data", EXCLUSIVE)
        b.condemn(old, by="alice", reason="off")
        assert a.mine("data") is not None
        a.report_clean("data", old.token)
        new = a.acquire("data", EXCLUSIVE)
        assert new.token > old.token
        assert a.leases() == [new]

    def test_only_the_condemned_lease_is_taken(self, table: Tables) -> None:
        """Of several leases of a volume only the condemned one goes."""
        a, b, c = table("a"), table("b"), table("c")
        first, second = (each.acquire("data", AccessMode.SHARED) for each in (a, b))
        c.condemn(first, by="alice", reason="off")
        with pytest.raises(HeldElsewhere, match="'b'"):
            c.acquire("data", EXCLUSIVE)
        third = c.acquire("data", AccessMode.SHARED)
        assert c.leases() == [second, third]

    def test_condemned_lease_can_be_released(self, table: Tables) -> None:
        """A holder that was alive after all gives its lease back; the record stays."""
        a, b = table("a"), table("b")
        lease = a.acquire("data", EXCLUSIVE)
        b.condemn(lease, by="alice", reason="off")
        a.release(lease)
        assert (a.leases(), len(a.condemnations())) == ([], 1)

    def test_condemnations_are_listed(self, table: Tables) -> None:
        """Condemnations are listed oldest first, and for one volume if asked."""
        a, b = table("a"), table("b")
        for volume in ("logs", "data", "logs"):
            lease = a.acquire(volume, EXCLUSIVE)
            b.condemn(lease, by="alice", reason="off")
            a.report_clean(volume, lease.token)
        assert [each.volume for each in a.condemnations()] == ["logs", "data", "logs"]
        tokens = [each.token for each in a.condemnations("logs")]
        assert tokens == sorted(set(tokens))
        assert len(tokens) == 2


class RestartContract(LeaseFixtures):
    """What a restart keeps, and what a reboot frees."""

    def test_leases_survive_a_restart(self, table: Tables, store: LeaseStore) -> None:
        """A restarted process goes on with its node's leases, and they still bar others."""
        lease = table("a").acquire("data", EXCLUSIVE)
        store.reopen()
        a, b = table("a", instance="instance-2"), table("b")
        assert a.mine("data") == a.acquire("data", EXCLUSIVE) == lease
        with pytest.raises(HeldElsewhere):
            b.acquire("data", EXCLUSIVE)

    def test_reboot_frees_the_nodes_leases(self, table: Tables) -> None:
        """A new boot of the same hardware proves the old one dead: its leases are gone at once."""
        a, b = table("a"), table("b")
        a.acquire("data", EXCLUSIVE)
        kept = b.acquire("logs", EXCLUSIVE)
        rebooted = table("a", boot="boot-2", instance="instance-2")
        assert rebooted.leases() == [kept]
        assert rebooted.mine("data") is None
        assert b.acquire("data", EXCLUSIVE).node == "b"

    def test_reboot_of_unknown_hardware_frees_nothing(
        self, table: Tables, clock: FakeClock
    ) -> None:
        """Without a proof of the old boot's death its leases bar all, its own node included."""
        old = table("a", machine="").acquire("data", EXCLUSIVE)
        b = table("b")
        rebooted = table("a", boot="boot-2", machine="", instance="instance-2")
        assert rebooted.mine("data") is None
        for each in (rebooted, b):
            with pytest.raises(HeldElsewhere, match="'a'"):
                each.acquire("data", EXCLUSIVE)
        clock.sleep(W)
        rebooted.renew()
        assert [lease.state for lease in b.leases()] == [LeaseState.LAPSED]
        b.condemn(old, by="alice", reason="it rebooted")
        rebooted.report_clean("data", old.token)
        assert rebooted.acquire("data", EXCLUSIVE).token > old.token

    def test_old_boot_keeps_its_hold_time(self, table: Tables, clock: FakeClock) -> None:
        """A shorter hold time after the reboot says nothing of how long the old boot may write."""
        table("a", machine="", hold_ms=60_000).acquire("data", EXCLUSIVE)
        b = table("b")
        table("a", boot="boot-2", machine="", instance="instance-2", hold_ms=1_000)
        assert [lease.state for lease in b.leases()] == [LeaseState.LIVE]
        clock.sleep(silence_s(60_000) - 0.001)
        assert [lease.state for lease in b.leases()] == [LeaseState.LIVE]
        clock.sleep(0.001)
        assert [lease.state for lease in b.leases()] == [LeaseState.LAPSED]

    def test_another_machine_cannot_be_the_node(self, table: Tables) -> None:
        """A copied state directory is refused, in a sentence that names the node."""
        a = table("a")
        lease = a.acquire("data", EXCLUSIVE)
        with pytest.raises(HostError, match="'a'"):
            table("a", boot="boot-2", machine="another machine", instance="instance-2")
        assert a.acquire("data", EXCLUSIVE) == lease

    @pytest.mark.parametrize("verb", ["acquire", "release", "renew", "condemn"])
    def test_session_belongs_to_one_instance(self, table: Tables, verb: str) -> None:
        """Once a successor has registered, its predecessor changes nothing any more."""
        a = table("a")
        lease = a.acquire("data", EXCLUSIVE)
        successor = table("a", instance="instance-2")
        verbs: dict[str, Callable[[], object]] = {
            "acquire": lambda: a.acquire("logs", EXCLUSIVE),
            "release": lambda: a.release(lease),
            "renew": a.renew,
            "condemn": lambda: a.condemn(lease, by="alice", reason="off"),
        }
        with pytest.raises(HostError, match="'a'"):
            verbs[verb]()
        assert successor.leases() == [lease]
