"""What every mount table promises. Inherit, provide `mounts` and `reopen`, and run with pytest."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from volplug.mount_table import MountRow, MountTable

_TIMES = 10
_ROW = MountRow(
    volume="data",
    node="node-1",
    mount_id="a" * 64,
    count=1,
    epoch=2,
    boot_id="8f1d8a5e-0000-4000-8000-000000000000",
    mounted_at=datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC),
)


class MountTableContract:
    """The promises of `MountTable`, one test each."""

    @pytest.fixture
    def mounts(self) -> MountTable:
        """Provide an empty table."""
        raise NotImplementedError("provide the fixture `mounts`: an empty table")

    @pytest.fixture
    def reopen(self) -> Callable[[], MountTable]:
        """Provide a function that returns the same table as found after a restart."""
        raise NotImplementedError("provide the fixture `reopen`: the table after a restart")

    def test_new_table_is_empty(self, mounts: MountTable) -> None:
        """A new table has no rows, and its epoch is 0."""
        assert (mounts.rows(), mounts.rows("data"), mounts.epoch()) == ([], [], 0)

    @pytest.mark.parametrize(
        "row",
        [
            _ROW,
            replace(_ROW, mount_id="", count=0, epoch=0, boot_id=""),
            replace(_ROW, volume="f" * 64, node="nœud", mount_id="☃ '\"\\\n", count=2**40),
        ],
        ids=["usual", "empty", "odd"],
    )
    def test_every_field_round_trips(self, mounts: MountTable, row: MountRow) -> None:
        """What is listed is what was put, in every field; dvdcli's empty ID included."""
        mounts.put(row)
        assert mounts.rows() == [row]

    def test_put_replaces(self, mounts: MountTable) -> None:
        """Ten puts of one key are one row: the last one."""
        for count in range(_TIMES):
            mounts.put(replace(_ROW, count=count, epoch=count, boot_id=str(count)))
        assert mounts.rows() == [replace(_ROW, count=9, epoch=9, boot_id="9")]

    @pytest.mark.parametrize("field", ["volume", "node", "mount_id"])
    def test_key_has_three_parts(self, mounts: MountTable, field: str) -> None:
        """Rows that differ in volume, node or mount ID stand side by side, and go one by one."""
        changed: dict[str, Any] = {field: "other"}
        other = replace(_ROW, **changed)
        mounts.put(_ROW)
        mounts.put(other)
        assert len(mounts.rows()) == 2
        mounts.remove(other)
        assert mounts.rows() == [_ROW]

    def test_remove_goes_by_the_key(self, mounts: MountTable) -> None:
        """A row is removed whatever its other fields say, ten times over."""
        mounts.put(_ROW)
        for _ in range(_TIMES):
            mounts.remove(replace(_ROW, count=7, epoch=7, boot_id="other"))
        assert mounts.rows() == []

    def test_rows_are_sorted(self, mounts: MountTable) -> None:
        """Rows are sorted by volume, then mount ID, in whatever order they were put."""
        keys = [("b", "1"), ("a", "2"), ("a", "1"), ("c", "0"), ("a", "10")]
        for volume, mount_id in keys:
            mounts.put(replace(_ROW, volume=volume, mount_id=mount_id))
        assert [(row.volume, row.mount_id) for row in mounts.rows()] == sorted(keys)

    def test_rows_of_one_volume(self, mounts: MountTable) -> None:
        """Asked for a volume, the table lists that volume's rows only."""
        first, second = replace(_ROW, mount_id="1"), replace(_ROW, mount_id="2")
        for row in (second, replace(_ROW, volume="other"), first):
            mounts.put(row)
        assert mounts.rows("data") == [first, second]

    def test_epochs_count_up(self, mounts: MountTable) -> None:
        """Each new epoch is the next number, and stays the present one."""
        assert [mounts.next_epoch() for _ in range(_TIMES)] == list(range(1, _TIMES + 1))
        assert mounts.epoch() == _TIMES

    def test_rows_and_epoch_survive_a_restart(
        self, mounts: MountTable, reopen: Callable[[], MountTable]
    ) -> None:
        """What was answered for is there after a restart, and what was removed is not."""
        gone = replace(_ROW, mount_id="gone")
        mounts.next_epoch()
        mounts.put(_ROW)
        mounts.put(gone)
        mounts.remove(gone)
        again = reopen()
        assert (again.rows(), again.epoch(), again.next_epoch()) == ([_ROW], 1, 2)
