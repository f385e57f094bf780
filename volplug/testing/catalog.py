"""What every catalog promises. Inherit, provide `catalog` and `reopen`, and run with pytest."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from volplug.catalog import Catalog, Record, RecordState
from volplug.errors import VolumeNotFound
from volplug.host import Filesystem, Formatted
from volplug.volume import AccessMode, Owner

_TIMES = 10


def _plain(name: str = "data") -> Record:
    return Record(
        name=name,
        backend="gold",
        access=AccessMode.SINGLE_WRITER,
        options={"size": "1GiB"},
        created_at=datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC),
    )


def _full() -> Record:
    """Return a record whose every field differs from its default."""
    return Record(
        name="0" * 64,  # what engines call anonymous volumes: 64 hex digits
        backend="silver",
        access=AccessMode.SHARED_READ,
        options={
            "": "",
            "naïve ☃ 名": "line\nbreak, tab\t, nul\0, quote' \" \\",
            "astral": "\N{BAR OF SOAP}\N{COMBINING ACUTE ACCENT}",
            "lone surrogate": "\ud83e",
        },
        created_at=datetime(2024, 2, 29, 23, 59, 59, 1, tzinfo=timezone(timedelta(hours=-9.5))),
        owner=Owner(uid=0, gid=2**31, mode=0o2775),
        origin="parent",
        state=RecordState.DELETING,
        handle="vol-Ω/..?*",
        filesystem=Filesystem(Formatted.READY, "ext4", "8f1d8a5e-0000-4000-8000-000000000000"),
    )


class CatalogContract:
    """The promises of `Catalog`, one test each."""

    @pytest.fixture
    def catalog(self) -> Catalog:
        """Provide an empty catalog."""
        raise NotImplementedError("provide the fixture `catalog`: an empty catalog")

    @pytest.fixture
    def reopen(self) -> Callable[[], Catalog]:
        """Provide a function that returns the same catalog as found after a restart."""
        raise NotImplementedError("provide the fixture `reopen`: the catalog after a restart")

    def test_new_catalog_is_empty(self, catalog: Catalog) -> None:
        """A new catalog knows of nothing, and says None rather than raise."""
        assert catalog.records() == []
        assert catalog.get("data") is None

    @pytest.mark.parametrize("record", [_plain(), _full()], ids=["plain", "full"])
    def test_every_field_round_trips(self, catalog: Catalog, record: Record) -> None:
        """What is read is what was added, in every field."""
        assert catalog.add(record)
        assert catalog.get(record.name) == record
        assert catalog.records() == [record]

    @pytest.mark.parametrize("state", RecordState)
    @pytest.mark.parametrize("formatted", Formatted)
    @pytest.mark.parametrize("access", AccessMode)
    def test_every_state_round_trips(
        self, catalog: Catalog, state: RecordState, formatted: Formatted, access: AccessMode
    ) -> None:
        """No member of an enumeration is lost or mistaken for another."""
        filesystem = Filesystem(formatted)
        record = replace(_plain(), state=state, filesystem=filesystem, access=access)
        catalog.add(record)
        assert catalog.get("data") == record

    def test_moments_keep_their_zone(self, catalog: Catalog) -> None:
        """A moment read back can be compared with any other: it is aware of its zone."""
        catalog.add(_full())
        found = catalog.get(_full().name)
        assert found is not None
        assert found.created_at.utcoffset() is not None

    def test_taken_name_is_not_added(self, catalog: Catalog) -> None:
        """`add` says False ten times to a taken name, and changes nothing."""
        catalog.add(_plain())
        other = replace(_plain(), backend="silver", handle="x")
        assert [catalog.add(other) for _ in range(_TIMES)] == [False] * _TIMES
        assert catalog.records() == [_plain()]

    def test_names_differ_by_case(self, catalog: Catalog) -> None:
        """`Data` and `data` are two volumes."""
        assert catalog.add(_plain("data"))
        assert catalog.add(_plain("Data"))
        assert catalog.get("data") == _plain("data")

    def test_replace_overwrites_ten_times(self, catalog: Catalog) -> None:
        """`replace` stores every field anew, and repeating it is success."""
        catalog.add(_plain(_full().name))
        for _ in range(_TIMES):
            catalog.replace(_full())
        assert catalog.records() == [_full()]

    def test_replace_leaves_the_others_alone(self, catalog: Catalog) -> None:
        """Only the record of that name changes."""
        catalog.add(_plain("a"))
        catalog.add(_plain("b"))
        catalog.replace(replace(_plain("a"), handle="new"))
        assert catalog.get("b") == _plain("b")

    def test_replace_of_nothing_is_refused(self, catalog: Catalog) -> None:
        """A record that is not there cannot come into being by `replace`."""
        with pytest.raises(VolumeNotFound, match="data"):
            catalog.replace(_plain())
        assert catalog.records() == []

    def test_records_are_sorted(self, catalog: Catalog) -> None:
        """Whatever the order of adding, the list is sorted by name."""
        names = ["b", "a10", "Z", "a2", "a_b"]
        for name in names:
            catalog.add(_plain(name))
        assert [record.name for record in catalog.records()] == sorted(names)

    def test_remove_ten_times(self, catalog: Catalog) -> None:
        """A removed record is gone, and removing it again is success."""
        catalog.add(_plain("a"))
        catalog.add(_plain("b"))
        for _ in range(_TIMES):
            catalog.remove("a")
        assert catalog.records() == [_plain("b")]

    def test_removed_name_is_free(self, catalog: Catalog) -> None:
        """A name can be used again after its record was removed."""
        catalog.add(_plain())
        catalog.remove("data")
        assert catalog.add(replace(_plain(), handle="second"))
        assert [record.handle for record in catalog.records()] == ["second"]

    @pytest.mark.parametrize("state", RecordState)
    def test_claim_changes_no_record(self, catalog: Catalog, state: RecordState) -> None:
        """A node claims its own work, however far it is, ten times; one that is gone, too."""
        record = replace(_plain(), state=state)
        catalog.add(record)
        for _ in range(_TIMES):
            catalog.claim("data")
            catalog.claim("none")
        assert catalog.records() == [record]

    def test_stored_options_are_a_copy(self, catalog: Catalog) -> None:
        """What the caller does to its mapping later does not reach the catalog."""
        options = {"size": "1GiB"}
        catalog.add(replace(_plain(), options=options))
        options["size"] = "2GiB"
        assert catalog.get("data") == _plain()

    def test_records_survive_a_restart(
        self, catalog: Catalog, reopen: Callable[[], Catalog]
    ) -> None:
        """A volume that was answered for never vanishes, and a removed one stays away."""
        catalog.add(_plain("a"))
        catalog.add(_plain("b"))
        catalog.add(_full())
        catalog.replace(replace(_plain("a"), handle="new"))
        catalog.remove("b")
        assert reopen().records() == [_full(), replace(_plain("a"), handle="new")]

    def test_one_of_many_adds_a_name(self, catalog: Catalog) -> None:
        """Of sixteen threads that add one name at once, exactly one is told True."""
        added: list[str] = []

        def add(handle: str) -> None:
            if catalog.add(replace(_plain(), handle=handle)):
                added.append(handle)

        threads = [threading.Thread(target=add, args=(str(n),)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [record.handle for record in catalog.records()] == added
