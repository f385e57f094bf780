"""Which modes may stand side by side, and what those who are barred are told."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest

from volplug.lease import Lease, LeaseState, compatible, held_elsewhere
from volplug.volume import AccessMode

_PAIRS = list(product(AccessMode, AccessMode))
_SINCE = datetime(2024, 5, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))


def test_compatible_pairs_are_exactly_these() -> None:
    """Of all sixteen pairs of modes, two nodes may hold only two: both share, or both read."""
    assert {pair for pair in _PAIRS if compatible(*pair)} == {
        (AccessMode.SHARED, AccessMode.SHARED),
        (AccessMode.SHARED_READ, AccessMode.SHARED_READ),
    }


@pytest.mark.parametrize(("wanted", "held"), _PAIRS)
def test_compatible_is_symmetric(wanted: AccessMode, held: AccessMode) -> None:
    """Who came first makes no difference."""
    assert compatible(wanted, held) == compatible(held, wanted)


@pytest.mark.parametrize(("wanted", "held"), _PAIRS)
def test_writers_never_meet_readers(wanted: AccessMode, held: AccessMode) -> None:
    """A mode that may write is never compatible with one that may not."""
    if wanted.read_only != held.read_only:
        assert not compatible(wanted, held)


def test_refusal_is_in_utc() -> None:
    """Moments are told in UTC, whatever zone they were noted in."""
    lease = Lease("data", "a", AccessMode.SINGLE_WRITER, 1, _SINCE, LeaseState.LAPSED)
    words = str(held_elsewhere(lease, datetime(2024, 5, 1, 12, 30, tzinfo=UTC)))
    assert "since 2024-05-01 12:00:00 UTC" in words
    assert "silent since 2024-05-01 12:30:00 UTC" in words
