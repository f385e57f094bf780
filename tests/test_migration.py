"""The promises of migration.py: nothing is lost on the way, and it can be repeated."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from volplug.catalog import Record, RecordState
from volplug.errors import Unavailable, VolumeExists
from volplug.migration import Side, migrate, plan
from volplug.testing import MemoryCatalog, MemoryLeases
from volplug.volume import AccessMode

_RECORD = Record(
    "data",
    "gold",
    AccessMode.SINGLE_WRITER,
    {"size": "1G"},
    datetime(2026, 1, 1, tzinfo=UTC),
    state=RecordState.READY,
    handle="h",
)


@pytest.fixture
def here() -> Side:
    """A node's own store, with three volumes, one of them in use."""
    side = Side(MemoryCatalog(), MemoryLeases("a"))
    for name in ("data", "logs", "media"):
        side.catalog.add(replace(_RECORD, name=name))
    side.leases.acquire("logs", AccessMode.SINGLE_WRITER)
    return side


@pytest.fixture
def there() -> Side:
    """The store of a cluster."""
    return Side(MemoryCatalog(), MemoryLeases("a"))


def test_everything_moves(here: Side, there: Side) -> None:
    """All records are there and none here, the lease in use too, and each step is told."""
    records, told = here.catalog.records(), list[str]()
    migrate(here, there, told.append)
    assert there.catalog.records() == records
    assert here.catalog.records() == []
    assert here.leases.leases() == []
    (lease,) = there.leases.leases()
    assert (lease.volume, lease.access) == ("logs", AccessMode.SINGLE_WRITER)
    assert told == ["1 of 3: data", "2 of 3: logs with its lease", "3 of 3: media"]


def test_again_is_nothing(here: Side, there: Side) -> None:
    """When all is moved there is nothing left to move."""
    migrate(here, there, lambda _: None)
    assert migrate(here, there, lambda _: None) == []
    assert len(there.catalog.records()) == 3


@pytest.mark.parametrize("fails_at", range(3))
def test_an_interrupted_move_goes_on(
    here: Side, there: Side, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume that is in both stores after a crash is the same volume."""
    records = here.catalog.records()
    remove, left = here.catalog.remove, [fails_at]

    def failing(name: str) -> None:
        if not left[0]:
            raise Unavailable("the power went")
        left[0] -= 1
        remove(name)

    with monkeypatch.context() as patch:
        patch.setattr(here.catalog, "remove", failing)
        with pytest.raises(Unavailable):
            migrate(here, there, lambda _: None)
    migrate(here, there, lambda _: None)
    assert there.catalog.records() == records
    assert here.catalog.records() == []
    assert here.leases.leases() == []
    assert [lease.volume for lease in there.leases.leases()] == ["logs"]


def test_a_taken_name_stops_all(here: Side, there: Side) -> None:
    """Nothing moves while a name is taken; the sentence names every clash."""
    for name in ("data", "media"):
        there.catalog.add(replace(_RECORD, name=name, backend="silver"))
    with pytest.raises(VolumeExists, match=r"another volume 'data'.*another volume 'media'"):
        migrate(here, there, lambda _: None)
    assert len(here.catalog.records()) == 3
    assert [bool(move.clash) for move in plan(here.catalog, there.catalog)] == [True, False, True]
