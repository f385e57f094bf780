"""Opening, refusing and closing the store, and what it does when the disk does not."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from volplug import deadline
from volplug.catalog import Record
from volplug.errors import DeadlineExceeded, HostError, Unavailable
from volplug.session import Quarantine, Session
from volplug.sqlite import SqliteStore, exclusive, schema
from volplug.sqlite.connection import open_writer
from volplug.testing import FakeClock
from volplug.volume import AccessMode

_AT = "2024-01-01T00:00:00+00:00"
_SESSION = Session("a", "boot-1", "machine of a", "instance-1")


def _record(name: str) -> Record:
    return Record(name, "gold", AccessMode.SHARED, {}, datetime(2024, 1, 1, tzinfo=UTC))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Provide the path of a store that is not there yet."""
    return tmp_path / "state" / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """Provide an open, empty store."""
    store = SqliteStore(path)
    yield store
    store.close()


def test_store_keeps_its_identity(path: Path) -> None:
    """A store is told from any other by its UUID, which a restart does not change."""
    first, other = SqliteStore(path), SqliteStore(path.with_name("other.db"))
    uuid = first.uuid()
    assert uuid != other.uuid()
    first.close()
    other.close()
    again = SqliteStore(path)
    assert (again.uuid(), again.generation()) == (uuid, 1)
    again.close()


def test_store_opens_quickly(path: Path) -> None:
    """A store with a thousand volumes takes little processor time to open: 10 ms or so."""
    store = SqliteStore(path)
    for number in range(1000):
        store.catalog().add(_record(f"volume-{number}"))
    store.close()
    start = time.process_time()
    again = SqliteStore(path)
    taken = time.process_time() - start
    again.close()
    assert taken < 0.5


def test_tokens_outlive_the_volume(store: SqliteStore) -> None:
    """A volume that was deleted and made again goes on from its last token."""
    catalog, leases = store.catalog(), store.leases(_SESSION)
    tokens = []
    for _ in range(3):
        catalog.add(_record("data"))
        lease = leases.acquire("data", AccessMode.SHARED)
        tokens.append(lease.token)
        leases.release(lease)
        catalog.remove("data")
    assert tokens == sorted(set(tokens))


def test_token_that_would_repeat_stops_the_grant(path: Path) -> None:
    """If the store's revision ever went back, no lease is granted rather than an old token."""
    store = SqliteStore(path)
    leases = store.leases(_SESSION)
    leases.release(leases.acquire("data", AccessMode.SHARED))
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET rev = 0")
    connection.close()
    again = SqliteStore(path)
    leases = again.leases(_SESSION)
    with pytest.raises(AssertionError, match="went back in time"):
        leases.acquire("data", AccessMode.SHARED)
    assert leases.leases() == []
    again.close()


def test_acquire_is_a_renewal(store: SqliteStore) -> None:
    """Whatever a node changes shows the others that it is alive."""
    clock = FakeClock()
    a = store.leases(_SESSION, clock, clock.utc)
    b = store.leases(Session("b", "boot-1", "machine of b", "instance-1"), clock, clock.utc)
    lease = a.acquire("data", AccessMode.SINGLE_WRITER)
    b.leases()
    clock.sleep(15)
    assert a.acquire("data", AccessMode.SINGLE_WRITER) == lease
    b.leases()
    clock.sleep(15)
    assert b.leases() == [lease]


# Refusals to open


def test_second_opening_is_refused(store: SqliteStore, path: Path) -> None:
    """While a store is open nobody else opens it; the sentence names the path and the process."""
    with deadline.clock(FakeClock()), pytest.raises(HostError) as refusal:
        SqliteStore(path)
    assert str(path) in str(refusal.value)
    assert f"another volplug process (pid {os.getpid()}) has it open" in str(refusal.value)
    assert store.catalog().records() == []


def test_dying_predecessor_is_waited_for(store: SqliteStore, path: Path) -> None:
    """A store that is let go a moment later opens; its predecessor's records are there."""
    store.catalog().add(_record("data"))
    clock = FakeClock()

    class Dying(FakeClock):
        """A clock on which the predecessor ends at the second look."""

        def sleep(self, seconds: float) -> None:
            """Let the predecessor end."""
            clock.sleep(seconds)
            store.close()

    with deadline.clock(Dying()):
        again = SqliteStore(path)
    assert clock.now() > 0
    assert again.catalog().get("data") == _record("data")
    again.close()


def test_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS the store is refused before a file is made; the sentence says where else to go."""
    monkeypatch.setattr(exclusive, "filesystem_magic", lambda _: 0x6969)
    with pytest.raises(HostError, match=r"network file system \(NFS\).*local disk"):
        SqliteStore(path)
    assert list(path.parent.iterdir()) == []


def test_magic_is_the_kernels() -> None:
    """The file system's magic is what statfs(2) says: /proc's is the one that never varies."""
    assert exclusive.filesystem_magic(Path("/proc")) == 0x9FA0
    with pytest.raises(FileNotFoundError):
        exclusive.filesystem_magic(Path("/proc/none"))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"not a database at all, " * 200, id="text"),
        pytest.param(lambda data: data[: len(data) // 2], id="half"),
        pytest.param(lambda data: data[:8192] + b"\xff" * 4096 + data[12288:], id="page"),
    ],
)
def test_damaged_file_is_refused(path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A damaged store is refused with its path and a way out, and is left as it was."""
    store = SqliteStore(path)
    for number in range(100):
        store.catalog().add(_record(f"volume-{number}"))
    store.close()
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    with pytest.raises(HostError, match="restore it from a backup") as refusal:
        SqliteStore(path)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == broken


def test_newer_format_is_refused(path: Path) -> None:
    """A store of a newer volplug is refused, naming both formats, and is not changed."""
    SqliteStore(path).close()
    connection = open_writer(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(
        HostError, match=rf"format 99.*up to {schema.FORMAT}: install the newer volplug"
    ):
        SqliteStore(path)


def test_foreign_database_is_refused(path: Path) -> None:
    """Somebody else's SQLite file is not made ours."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(HostError, match="something other than volplug"):
        SqliteStore(path)


def test_refused_store_can_be_opened_once_mended(path: Path) -> None:
    """A refusal keeps no lock: the next opening of a mended store succeeds."""
    path.parent.mkdir()
    path.write_bytes(b"x" * 5000)
    with pytest.raises(HostError):
        SqliteStore(path)
    path.unlink()
    SqliteStore(path).close()


def test_unusable_path_is_refused(tmp_path: Path) -> None:
    """A path that cannot be a file is one sentence, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot open the store"):
        SqliteStore(tmp_path / "file" / "store.db")
    (tmp_path / "folder").mkdir()
    with pytest.raises(HostError, match="cannot open the store"):
        SqliteStore(tmp_path / "folder")


def test_migrations_run_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older store is brought to the present format, keeping what it holds; or not at all."""
    store = SqliteStore(path)
    store.catalog().add(_record("data"))
    store.close()
    step = ("CREATE TABLE later (x INTEGER NOT NULL) STRICT", "INSERT INTO later VALUES (1)")
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 2)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step, ("SELECT nonsense",)))
    with pytest.raises(HostError, match="nonsense"):
        SqliteStore(path)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS[:-1], ("SELECT 1",)))
    store = SqliteStore(path)
    assert store.catalog().get("data") == _record("data")
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT x FROM later").fetchall() == [(1,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.FORMAT,)
    connection.close()


def test_store_of_the_first_format_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nodes and leases an older volplug wrote is there, and its nodes say no guard."""
    with monkeypatch.context() as older:
        older.setattr(schema, "FORMAT", 1)
        older.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO node VALUES ('a', 3, 'boot-1', 'm', 'old', 12000, 7)")
        connection.execute("INSERT INTO volume VALUES ('data', 5)")
        connection.execute("INSERT INTO lease VALUES (5, 'data', 'a', 3, 'shared', ?)", (_AT,))
        row = (6, 4, "data", "a", "alice", "off", _AT)
        connection.execute("INSERT INTO condemnation VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        connection.execute("UPDATE meta SET rev = 7")
    connection.close()
    store = SqliteStore(path)
    leases = store.leases(Session("a", "boot-1", "m", "new"))
    [node] = leases.nodes()
    assert (node.incarnation, node.guard_level, node.quarantine) == (3, 0, Quarantine.CLEAN)
    assert [(each.token, each.incarnation) for each in leases.leases()] == [(5, 3)]
    assert [each.token for each in leases.condemnations()] == [4]
    store.close()


# At work


def test_reader_does_not_wait_for_the_writer(store: SqliteStore) -> None:
    """With a write stuck halfway, what was committed before is read at once."""
    store.catalog().add(_record("data"))
    stuck, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM record")
        stuck.set()
        go_on.wait()

    writer = threading.Thread(target=store._database.write, args=("a slow write", slow))
    writer.start()
    stuck.wait()
    found = store.catalog().records()
    go_on.set()
    writer.join()
    assert found == [_record("data")]
    assert store.catalog().records() == []


def test_slow_disk_costs_no_more_than_the_deadline(store: SqliteStore) -> None:
    """A caller leaves at its deadline, and what it had queued by then is not done later."""
    stuck, go_on = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        stuck.set()
        go_on.wait()

    writer = threading.Thread(target=store._database.write, args=("a slow write", slow))
    writer.start()
    stuck.wait()
    with deadline.deadline(0.01), pytest.raises(DeadlineExceeded, match="record of volume 'data'"):
        store.catalog().add(_record("data"))
    go_on.set()
    writer.join()
    store.catalog().add(_record("next"))
    assert store.catalog().records() == [_record("next")]


def test_no_time_left_means_nothing_done(store: SqliteStore) -> None:
    """Past the deadline the writer is not even asked: a closed one would say that it is closed."""
    store.close()
    with deadline.deadline(0), pytest.raises(DeadlineExceeded):
        store.catalog().add(_record("data"))


def test_unreadable_store_is_unavailable(store: SqliteStore, path: Path) -> None:
    """A read that fails says so rather than answer "no such volume"; the next may succeed."""
    store._database.write("a table to go", lambda c: c.execute("ALTER TABLE record RENAME TO r"))
    with pytest.raises(Unavailable, match=f"{path} cannot be read: no such table"):
        store.catalog().get("data")
    store._database.write("it to return", lambda c: c.execute("ALTER TABLE r RENAME TO record"))
    assert store.catalog().get("data") is None


def test_unwritable_store_is_unavailable(store: SqliteStore, path: Path) -> None:
    """A write that SQLite refuses is Unavailable, with the path and SQLite's words."""
    store._database.write("a table to go", lambda c: c.execute("DROP TABLE record"))
    with pytest.raises(Unavailable, match=f"{path} cannot be written: no such table"):
        store.catalog().add(_record("data"))


def test_full_disk_undoes_the_write_and_no_more(store: SqliteStore) -> None:
    """When no page is left the write is refused, and what was there stays readable and writable."""
    store.catalog().add(_record("data"))
    pages = store._database.write("the size", lambda c: c.execute("PRAGMA page_count").fetchone())
    limit = f"PRAGMA max_page_count = {pages[0]}"
    store._database.write("a limit", lambda c: c.execute(limit).fetchall())
    big = Record("big", "gold", AccessMode.SHARED, {"x": "y" * 100_000}, _record("").created_at)
    with pytest.raises(Unavailable, match="full"):
        store.catalog().add(big)
    store.catalog().remove("data")
    assert store.catalog().records() == []


def test_close_finishes_what_was_asked(store: SqliteStore, path: Path) -> None:
    """What was queued before `close` is done and answered; closing twice is success."""
    stuck, go_on = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        stuck.set()
        go_on.wait()

    submit = store._database._writer.submit
    first = submit(slow)
    stuck.wait()
    queued = [submit(lambda c: c.execute("UPDATE meta SET generation = 2")) for _ in range(9)]
    closing = threading.Thread(target=store.close)
    closing.start()
    go_on.set()
    closing.join()
    store.close()
    assert first.done()
    assert all(future.done() for future in queued)
    assert [future.exception() for future in queued] == [None] * 9
    with pytest.raises(Unavailable, match="closed"):
        store.catalog().records()
    with pytest.raises(Unavailable, match="closed"):
        store.catalog().add(_record("data"))
    assert sorted(each.name for each in path.parent.iterdir()) == ["store.db", "store.lock"]


def test_files_are_the_operators_own(store: SqliteStore, path: Path) -> None:
    """Nobody else reads the store: users' options stand in it."""
    store.catalog().add(_record("data"))
    rights = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    names = ("store.db", "store.db-shm", "store.db-wal", "store.lock")
    assert rights == dict.fromkeys(names, 0o600)
