"""Any sequence of leases, crashes, reboots and silences, on SQLite and on a plain model at once."""

import shutil

import pytest

from tests.lease_machine import LeaseMachine, Store, run_machine
from tests.sqlite.shelf import new_shelf
from volplug.sqlite import SqliteStore


class SqliteMachine(LeaseMachine):
    """Three nodes on one store file."""

    def open(self) -> Store:
        """Open a store in a directory that is quick to sync."""
        self.shelf = new_shelf()
        self.path = self.shelf / "0" / "store.db"
        return SqliteStore(self.path)

    def reborn(self, number: int) -> Store:
        """Copy the files as they are, with nothing closed, and open the copy."""
        folder = self.shelf / str(number)
        folder.mkdir()
        for file in (self.path, self.path.with_name("store.db-wal")):
            shutil.copy(file, folder)
        self.store.close()
        self.path = folder / "store.db"
        return SqliteStore(self.path)

    def teardown(self) -> None:
        """Leave nothing behind."""
        super().teardown()
        shutil.rmtree(self.shelf)


@pytest.mark.timeout(400)
def test_lease_machine() -> None:
    """Ten thousand steps, and not one at which SQLite and the model differ."""
    steps = run_machine(SqliteMachine, examples=240, steps=50)
    print(f"{steps} steps")  # noqa: T201  the count is asked for
    assert steps > 10_000
