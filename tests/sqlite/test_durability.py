"""An acknowledged lease outlives `kill -9` and power failure, at every moment of a workload."""

import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.machine import need_program
from tests.sqlite import workload
from tests.sqlite.crash_states import Call, Disk, trace
from tests.sqlite.shelf import new_shelf
from volplug.errors import VolplugError
from volplug.sqlite import SqliteStore
from volplug.volume import AccessMode

_WORKLOAD = Path(workload.__file__)
_STORE = "store.db"
_FILES = {_STORE, f"{_STORE}-wal", f"{_STORE}-journal"}
_LEASES_PER_THREAD = 15


class _Promises:
    """What the workload has asked for and been promised, as its output says."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.acknowledged: dict[str, int] = {}

    def hear(self, line: str) -> None:
        """Note one line of the workload's output."""
        match line.split():
            case ["ask", volume]:
                self.asked.add(volume)
            case ["ack", volume, token]:
                self.acknowledged[volume] = int(token)

    def verdict(self, path: Path) -> str:
        """Open a store as found after a crash, and say "kept", "lost", "corrupt" or "odd"."""
        try:
            store = SqliteStore(path)
        except VolplugError:
            return "corrupt"
        with contextlib.closing(store):
            check = store._database.read(lambda c: c.execute("PRAGMA integrity_check").fetchone())
            table = store.leases(workload.SESSION)
            found = {lease.volume: lease.token for lease in table.leases()}
            next_token = table.acquire("next", AccessMode.SINGLE_WRITER).token
        if check != ("ok",):
            return "corrupt"
        if not self.acknowledged.items() <= found.items():
            return "lost"
        if next_token <= max(found.values(), default=0) or not found.keys() <= self.asked:
            return "odd"
        return "kept"


@pytest.fixture
def shelf() -> Iterator[Path]:
    """Provide a directory where syncing costs nothing, if the machine has one."""
    shelf = new_shelf()
    yield shelf
    shutil.rmtree(shelf)


def _verdicts(calls: list[Call], folder: Path, shelf: Path) -> Counter[str]:
    """Crash after every call, in three ways each, and count how the store was found."""
    disk, promises, dice = Disk(folder, _FILES), _Promises(), random.Random(1)  # noqa: S311  dice
    verdicts: Counter[str] = Counter()
    seen: set[int] = set()
    for call in calls:
        if call.name == "write":
            promises.hear(call.data.decode(errors="replace"))
        elif disk.apply(call):
            for state in disk.states(dice):
                key = hash((tuple(sorted(state.items())), len(promises.acknowledged)))
                if key not in seen:
                    seen.add(key)
                    verdicts[promises.verdict(_lay_out(state, shelf))] += 1
    assert len(promises.acknowledged) == 4 * _LEASES_PER_THREAD
    return verdicts


def _lay_out(state: Mapping[str, bytes], shelf: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=shelf))
    for name, content in state.items():
        (folder / name).write_bytes(content)
    return folder / _STORE


def _survey(synchronous: str, tmp_path: Path, shelf: Path) -> Counter[str]:
    folder, log = tmp_path / "state", tmp_path / "log"
    folder.mkdir()
    log.mkdir()
    strace = need_program("strace", "strace")
    argv: list[str | Path] = [sys.executable, _WORKLOAD, folder / _STORE, synchronous]
    verdicts = _verdicts(trace(strace, log, [*argv, str(_LEASES_PER_THREAD)]), folder, shelf)
    print(f"synchronous={synchronous}: {verdicts.total()} crash states, {dict(verdicts)}")  # noqa: T201  the count is asked for
    return verdicts


def test_power_failure_loses_nothing(tmp_path: Path, shelf: Path) -> None:
    """After a power failure at any call of the workload the store opens and nothing is missing."""
    verdicts = _survey("FULL", tmp_path, shelf)
    assert verdicts.keys() == {"kept"}
    assert verdicts.total() > 300


def test_power_failure_loses_leases_without_full(tmp_path: Path, shelf: Path) -> None:
    """The same survey reports losses under NORMAL: it can see what it says is not there."""
    verdicts = _survey("NORMAL", tmp_path, shelf)
    assert verdicts["lost"] > 0
    assert verdicts["corrupt"] == 0


def test_power_failure_corrupts_without_syncs(tmp_path: Path, shelf: Path) -> None:
    """The same survey reports corruption under OFF."""
    assert _survey("OFF", tmp_path, shelf)["corrupt"] > 0


@pytest.mark.parametrize("acknowledgements", [1, 40, 400])
def test_kill_loses_nothing(tmp_path: Path, acknowledgements: int) -> None:
    """A writer killed under load leaves every lease that it had acknowledged."""
    path, promises = tmp_path / _STORE, _Promises()
    argv: list[str | Path] = [sys.executable, _WORKLOAD, path, "FULL", str(10**6)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            promises.hear(line)
            if len(promises.acknowledged) == acknowledgements:
                break
        process.kill()
        for line in process.stdout:
            promises.hear(line)
    assert len(promises.acknowledged) >= acknowledgements
    assert promises.verdict(path) == "kept"
