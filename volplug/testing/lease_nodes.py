"""What a lease table tells of the nodes: their sessions, their guards, and their silence."""

from dataclasses import replace

import pytest

from volplug.session import NodeSession, Presence, Silence, silence_s
from volplug.testing.clock import FakeClock
from volplug.testing.lease_fixtures import EXCLUSIVE, LeaseFixtures, LeaseStore, Tables, W

_START = FakeClock().utc()


class NodesContract(LeaseFixtures):
    """Which nodes there are, and what they said of themselves."""

    def test_nodes_are_listed(self, table: Tables, clock: FakeClock) -> None:
        """Every registered node is there, sorted, in every field, whoever is asked."""
        b = table("b", hold_ms=60_000)
        a = table("a", machine="")
        b.nodes()
        clock.sleep(1.5)
        silence = Silence(_START, lasted_s=1.5, limit_s=W)
        of_a = NodeSession("a", 1, "boot-1", "", 0, 12_000, Presence.ALIVE, silence)
        of_b = replace(
            of_a,
            node="b",
            hardware_id="machine of b",
            hold_ms=60_000,
            silence=replace(silence, limit_s=silence_s(60_000)),
        )
        assert b.nodes() == [of_a, of_b]
        assert [each.node for each in a.nodes()] == ["a", "b"]

    def test_guard_level_is_told_to_all(self, table: Tables, store: LeaseStore) -> None:
        """What a node last said of its guard, others are told, until it says another word."""
        a, b = table("a"), table("b")
        for level in (1, 2, 0, 2):
            a.renew(guard_level=level)
            assert [each.guard_level for each in b.nodes()] == [level, 0]
        a.acquire("data", EXCLUSIVE)
        assert [each.guard_level for each in b.nodes()] == [2, 0]
        store.reopen()
        b = table("b", instance="instance-2")
        assert [each.guard_level for each in b.nodes()] == [2, 0]

    def test_word_of_a_guard_ends_with_the_process(self, table: Tables) -> None:
        """A process that registers has no guard until it says so: nobody knows of its last one."""
        a = table("a")
        a.renew(guard_level=2)
        a = table("a", instance="instance-2")
        assert [each.guard_level for each in a.nodes()] == [0]
        a.renew(guard_level=1)
        a.renew()
        assert [each.guard_level for each in a.nodes()] == [0]

    def test_silence_is_counted(self, table: Tables, clock: FakeClock) -> None:
        """A node is silent from W on, tells since when, and is alive again once it renews."""
        a, b = table("a"), table("b")
        b.nodes()
        began = clock.utc()
        for seconds, presence in ((W - 0.5, Presence.ALIVE), (W, Presence.SILENT)):
            clock.sleep(seconds - clock.now())
            node = b.nodes()[0]
            assert node.presence is presence
            assert node.silence.lasted_s == pytest.approx(seconds)
            assert node.silence.since == began
        a.renew()
        node = b.nodes()[0]
        assert (node.presence, node.silence.lasted_s) == (Presence.ALIVE, 0)
        assert node.silence.since == clock.utc()

    def test_reboot_is_a_new_incarnation(self, table: Tables) -> None:
        """A reboot counts one up, and leases tell in which life they were granted."""
        a, b = table("a", machine=""), table("b")
        old = a.acquire("data", EXCLUSIVE)
        rebooted = table("a", boot="boot-2", machine="", instance="instance-2")
        new = rebooted.acquire("logs", EXCLUSIVE)
        assert [(each.incarnation, each.boot_id) for each in b.nodes()] == [
            (2, "boot-2"),
            (1, "boot-1"),
        ]
        assert (old.incarnation, new.incarnation) == (1, 2)
        assert [each.incarnation for each in b.leases()] == [1, 2]
