"""What every lease table promises. Inherit, provide `store`, and run with pytest."""

import threading
from collections.abc import Callable

import pytest

from volplug.errors import HeldElsewhere
from volplug.lease import Lease, LeaseState, compatible
from volplug.testing.clock import FakeClock
from volplug.testing.lease_fences import FenceContract, ForgetContract, QuarantineContract
from volplug.testing.lease_fixtures import EXCLUSIVE, TIMES, LeaseFixtures, LeaseStore, Tables
from volplug.testing.lease_moves import CondemnationContract, RestartContract, SilenceContract
from volplug.testing.lease_nodes import NodesContract
from volplug.volume import AccessMode

_PAIRS = [(wanted, held) for wanted in AccessMode for held in AccessMode]


class GrantContract(LeaseFixtures):
    """Who is given a lease, who is refused, and how one is given back."""

    def test_new_table_is_empty(self, table: Tables) -> None:
        """A new table knows of nothing, and says None rather than raise."""
        a = table("a")
        assert (a.leases(), a.mine("data"), a.condemnations()) == ([], None, [])

    @pytest.mark.parametrize("access", AccessMode)
    @pytest.mark.parametrize("volume", ["data", "0" * 64], ids=["named", "anonymous"])
    def test_every_field_round_trips(
        self, table: Tables, clock: FakeClock, volume: str, access: AccessMode
    ) -> None:
        """What was granted is what all nodes list, in every field."""
        a, b = table("a"), table("b")
        clock.sleep(1.000001)
        lease = a.acquire(volume, access)
        assert lease == Lease(volume, "a", access, lease.token, clock.utc(), LeaseState.LIVE)
        assert a.leases() == b.leases(volume) == [lease]
        assert a.mine(volume) == lease

    def test_acquire_again_gives_the_same_lease(self, table: Tables, clock: FakeClock) -> None:
        """Acquired ten times by one node in one mode, a lease keeps its token and its since."""
        a = table("a")
        first = a.acquire("data", EXCLUSIVE)
        for _ in range(TIMES):
            clock.sleep(1)
            assert a.acquire("data", EXCLUSIVE) == first
        assert a.leases() == [first]

    @pytest.mark.parametrize(("wanted", "held"), _PAIRS)
    def test_modes_decide_between_nodes(
        self, table: Tables, wanted: AccessMode, held: AccessMode
    ) -> None:
        """A second node is granted what `compatible` allows, and a refusal changes nothing."""
        a, b = table("a"), table("b")
        first = a.acquire("data", held)
        if compatible(wanted, held):
            second = b.acquire("data", wanted)
            assert b.leases() == [first, second]
        else:
            with pytest.raises(HeldElsewhere):
                b.acquire("data", wanted)
            assert b.leases() == [first]
            assert b.mine("data") is None

    @pytest.mark.parametrize(("wanted", "held"), [each for each in _PAIRS if each[0] != each[1]])
    def test_node_has_one_mode(self, table: Tables, wanted: AccessMode, held: AccessMode) -> None:
        """A node that holds a volume in one mode is refused any other."""
        a = table("a")
        lease = a.acquire("data", held)
        with pytest.raises(HeldElsewhere, match=f"'a' as {held}"):
            a.acquire("data", wanted)
        assert a.leases() == [lease]

    def test_volumes_do_not_bar_each_other(self, table: Tables) -> None:
        """A lease bars others from its own volume only."""
        table("a").acquire("data", EXCLUSIVE)
        assert table("b").acquire("logs", EXCLUSIVE).node == "b"

    def test_refusal_by_a_live_holder(self, table: Tables, clock: FakeClock) -> None:
        """The sentence names volume, holder, mode, since when, the state, and the next step."""
        a, b = table("a"), table("b")
        a.acquire("data", EXCLUSIVE)
        clock.sleep(60)
        a.renew()
        expected = (
            "volume 'data' is held by node 'a' as single-writer since 2024-01-01 00:00:00 UTC "
            "(live): stop its containers there or wait"
        )
        with pytest.raises(HeldElsewhere) as refusal:
            b.acquire("data", EXCLUSIVE)
        assert str(refusal.value) == expected

    def test_refusal_by_a_lapsed_holder(self, table: Tables, clock: FakeClock) -> None:
        """A lapsed lease still bars; the sentence says since when it is silent, and the command."""
        table("a").acquire("data", EXCLUSIVE)
        clock.sleep(5)
        b = table("b")
        clock.sleep(3600)
        expected = (
            "volume 'data' is held by node 'a' as single-writer since 2024-01-01 00:00:00 UTC "
            "(lapsed): its node has been silent since 2024-01-01 00:00:05 UTC; "
            "if it is really off: volplug lease release data --reason ..."
        )
        for _ in range(TIMES):
            with pytest.raises(HeldElsewhere) as refusal:
                b.acquire("data", EXCLUSIVE)
            assert str(refusal.value) == expected

    def test_release_ten_times(self, table: Tables) -> None:
        """A released lease is gone, releasing it again is success, and others may have it."""
        a, b = table("a"), table("b")
        lease = a.acquire("data", EXCLUSIVE)
        for _ in range(TIMES):
            a.release(lease)
        assert a.leases() == []
        assert b.acquire("data", EXCLUSIVE).node == "b"

    def test_release_of_an_old_token(self, table: Tables) -> None:
        """Releasing an old lease once more leaves the newer one alone."""
        a = table("a")
        old = a.acquire("data", EXCLUSIVE)
        a.release(old)
        new = a.acquire("data", EXCLUSIVE)
        a.release(old)
        assert a.leases() == [new]

    def test_only_the_holder_releases(self, table: Tables) -> None:
        """Another node's lease cannot be given back, and the refusal names its holder."""
        a, b = table("a"), table("b")
        lease = a.acquire("data", EXCLUSIVE)
        with pytest.raises(HeldElsewhere, match="'a'"):
            b.release(lease)
        assert b.leases() == [lease]

    def test_leases_are_sorted(self, table: Tables) -> None:
        """Leases are sorted by volume, then token, and listed for one volume if asked."""
        a, b = table("a"), table("b")
        granted = [
            each.acquire(volume, AccessMode.SHARED)
            for volume in ("logs", "data", "media")
            for each in (b, a)
        ]
        everything = sorted(granted, key=lambda lease: (lease.volume, lease.token))
        assert a.leases() == everything
        assert a.leases("data") == [lease for lease in everything if lease.volume == "data"]

    def test_mine_is_this_nodes(self, table: Tables) -> None:
        """Each node is told of its own lease among those of one volume."""
        a, b = table("a"), table("b")
        first = a.acquire("data", AccessMode.SHARED)
        second = b.acquire("data", AccessMode.SHARED)
        assert (a.mine("data"), b.mine("data")) == (first, second)
        assert table("c").mine("data") is None


class TokenContract(LeaseFixtures):
    """Tokens, and many nodes at once."""

    def test_tokens_grow(self, table: Tables) -> None:
        """Whoever holds and releases a volume, each new lease has a greater token."""
        tokens = []
        for each in [table("a"), table("b"), table("c")] * 4:
            lease = each.acquire("data", EXCLUSIVE)
            tokens.append(lease.token)
            each.release(lease)
        assert tokens == sorted(set(tokens))

    def test_tokens_grow_across_restarts(self, table: Tables, store: LeaseStore) -> None:
        """Not even a restart with no lease left makes a token come a second time."""
        tokens = []
        for _ in range(3):
            a = table("a")
            lease = a.acquire("data", EXCLUSIVE)
            tokens.append(lease.token)
            a.release(lease)
            store.reopen()
        assert tokens == sorted(set(tokens))

    def test_one_node_of_many_is_granted(self, table: Tables) -> None:
        """Sixteen threads of four nodes ask at once: one node's threads all get one lease."""
        tables = [table(node) for node in "abcd"] * 4
        granted, refused = _at_once([each.acquire for each in tables], EXCLUSIVE)
        (lease,) = tables[0].leases()
        assert granted == [lease] * 4
        assert len(refused) == 12

    def test_all_nodes_share_at_once(self, table: Tables) -> None:
        """Sixteen threads of four nodes ask to share at once: four leases, four tokens."""
        tables = [table(node) for node in "abcd"] * 4
        granted, refused = _at_once([each.acquire for each in tables], AccessMode.SHARED)
        assert refused == []
        assert len(granted) == 16
        assert set(granted) == set(tables[0].leases())
        assert len({lease.token for lease in granted}) == 4


class LeaseContract(
    GrantContract,
    TokenContract,
    SilenceContract,
    CondemnationContract,
    RestartContract,
    NodesContract,
    FenceContract,
    QuarantineContract,
    ForgetContract,
):
    """The promises of `LeaseTable`, one test each."""


def _at_once(
    acquires: list[Callable[[str, AccessMode], Lease]], access: AccessMode
) -> tuple[list[Lease], list[HeldElsewhere]]:
    """Acquire one volume from a thread each, all let off at the same moment."""
    granted: list[Lease] = []
    refused: list[HeldElsewhere] = []
    start = threading.Barrier(len(acquires))

    def ask(acquire: Callable[[str, AccessMode], Lease]) -> None:
        start.wait()
        try:
            granted.append(acquire("data", access))
        except HeldElsewhere as error:
            refused.append(error)

    threads = [threading.Thread(target=ask, args=(acquire,)) for acquire in acquires]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return granted, refused
