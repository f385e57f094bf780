"""Trouble at every request of the verbs about snapshots and clones: one of each, and none lost."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.netapp.conftest import Kind, Sim, disk
from volplug.sdk import (
    AccessDenied,
    DeadlineExceeded,
    Exhausted,
    InvalidOptions,
    Size,
    Unavailable,
    VolplugError,
    deadline,
    wait_until,
)
from volplug_netapp import SanOptions

Do = Callable[[Kind], Any]
_READ = "GET"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@pytest.fixture(autouse=True)
def polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the stand-in, which is near, more often than an array."""

    def wait(condition: Callable[[], bool], awaited: str, poll_s: float = 0.0) -> None:
        wait_until(condition, awaited, poll_s=min(poll_s, 0.02))

    for module in ("_client", "_clones", "_flexvols", "_snapshots"):
        monkeypatch.setattr(f"volplug_netapp.{module}.wait_until", wait)
    monkeypatch.setattr("volplug_netapp._client._PAUSE_S", 0.02)


def _volume(kind: Kind) -> Any:
    """Return the volume that all of it is about, made before."""
    return kind.volume(kind.driver()._flexvols.name("data"))


def _made(kind: Kind) -> None:
    kind.create()


def _taken(kind: Kind) -> None:
    kind.create()
    kind.driver().create_snapshot(_volume(kind), "monday")


def _cloned(kind: Kind) -> None:
    _taken(kind)
    _restore(kind)


def _take(kind: Kind) -> None:
    kind.driver().create_snapshot(_volume(kind), "monday")


def _list(kind: Kind) -> list[str]:
    return [one.name for one in kind.driver().snapshots(_volume(kind))]


def _delete(kind: Kind) -> None:
    kind.driver().delete_snapshot(_volume(kind), "monday")


def _restore(kind: Kind) -> str:
    return str(kind.driver().clone_snapshot(_volume(kind), "monday", "copy", kind.options()))


def _clone(kind: Kind) -> str:
    return str(kind.driver().clone(_volume(kind), "copy", kind.options()))


@dataclass(frozen=True)
class Case:
    """A verb, what is there before it, and how many volumes and snapshots there are after it."""

    before: Do
    verb: Do
    volumes: int
    snapshots: int

    def end(self, kind: Kind) -> dict[str, int]:
        """Return what is to be counted on the array."""
        made = {name: self.volumes * count for name, count in kind.made.items()}
        return made | ({"snapshots": self.snapshots} if self.snapshots else {})


_CASES = {
    "take": Case(_made, _take, 1, 1),
    "list": Case(_taken, _list, 1, 1),
    "delete": Case(_taken, _delete, 1, 0),
    "delete what has a clone": Case(_cloned, _delete, 2, 0),
    "restore": Case(_taken, _restore, 2, 1),
    "clone": Case(_made, _clone, 2, 1),
}
_MAKING = [_CASES["restore"], _CASES["clone"]]


@pytest.fixture(params=_CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """Return one verb."""
    return _CASES[request.param]


def _prepared(kind: Kind, case: Case) -> tuple[Any, list[str]]:
    """Keep what the verb begins with; return what it answers, and what it asks of the array."""
    case.before(kind)
    kind.sim.do("keep")
    before = len(kind.sim.calls())
    told = case.verb(kind)
    asked = kind.sim.calls()[before:]
    assert kind.sim.counts() == case.end(kind)
    return told, asked


def _steps(asked: list[str], *, changing: bool = False) -> Iterator[tuple[int, str]]:
    """Return the first request of each shape with its place, or of those only that change."""
    seen = set()
    for step, request in enumerate(asked):
        shape = _UUID.sub("*", request)
        if shape not in seen and not (changing and request.startswith(_READ)):
            seen.add(shape)
            yield step, request


def _sentence(refusal: VolplugError) -> None:
    """Fail unless a refusal is one sentence about the array."""
    assert "ONTAP" in str(refusal)
    assert "\n" not in str(refusal)
    assert "0x" not in str(refusal)


@pytest.mark.parametrize("trouble", ["busy", "expired", "error", "gone", "lost"])
def test_trouble_at_every_request(kind: Kind, case: Case, trouble: str) -> None:
    """What was not done is done again; what may have been done is told, and found by the next."""
    told, asked = _prepared(kind, case)
    for step, request in _steps(asked):
        kind.sim.do("restore")
        kind.sim.trouble(trouble, "", "", skip=step)
        passes = trouble in ("busy", "expired") or request.startswith(_READ)
        if passes:
            assert case.verb(kind) == told, request
        else:
            with pytest.raises(Unavailable) as refusal:
                case.verb(kind)
            _sentence(refusal.value)
        assert case.verb(kind) == told, request
        assert kind.sim.counts() == case.end(kind), request
        assert _list(kind) == (["monday"] if case.snapshots and case.verb != _clone else [])


def test_answer_after_the_deadline(kind: Kind, case: Case) -> None:
    """What was done too late to be told is found by the next one, and not done twice."""
    told, asked = _prepared(kind, case)
    for step, request in _steps(asked, changing=True):
        kind.sim.do("restore")
        kind.sim.trouble("slow", "", "", skip=step)
        with pytest.raises(DeadlineExceeded) as refusal, deadline(1):
            case.verb(kind)
        _sentence(refusal.value)
        assert case.verb(kind) == told, request
        assert kind.sim.counts() == case.end(kind), request


def test_lasting_trouble_is_told(kind: Kind, case: Case) -> None:
    """An array that stays sick is Unavailable, and nothing has changed."""
    _prepared(kind, case)
    kind.sim.do("restore")
    before = kind.sim.counts()
    kind.sim.trouble("error", "", "", times=10**6)
    with pytest.raises(Unavailable) as refusal:
        case.verb(kind)
    _sentence(refusal.value)
    assert kind.sim.counts() == before


@pytest.mark.parametrize("case", _MAKING, ids=["restore", "clone"])
def test_missing_right_leaves_nothing(kind: Kind, case: Case) -> None:
    """AccessDenied is final: of a clone that may not be finished nothing stays behind."""
    _, asked = _prepared(kind, case)
    for step, request in _steps(asked, changing=True):
        kind.sim.do("restore")
        before = kind.sim.counts()
        kind.sim.trouble("denied", "", "", skip=step)
        with pytest.raises(AccessDenied, match=r"rights that stand in docs") as refusal:
            case.verb(kind)
        _sentence(refusal.value)
        assert kind.sim.counts() == before, request


@pytest.mark.parametrize("verb", ["clone", "clone_snapshot"])
def test_clone_without_room_leaves_nothing(kind: Kind, verb: str) -> None:
    """Exhausted is final, too: neither a snapshot nor a policy stays behind."""
    _taken(kind)
    before = kind.sim.counts()
    more = ("monday",) if verb == "clone_snapshot" else ()
    with pytest.raises(Exhausted, match="not enough space in aggregate"):
        getattr(kind.driver(), verb)(_volume(kind), *more, "x_nospace_x", kind.options())
    assert kind.sim.counts() == before


def test_clone_that_can_never_be_large_enough_leaves_nothing(sim: Sim) -> None:
    """A size that no FlexVol around a LUN has is refused before there is a clone."""
    volume = disk(sim.san().create("data", SanOptions()))
    before = sim.counts()
    with pytest.raises(InvalidOptions, match="with its metadata"):
        sim.san().clone(volume, "copy", SanOptions(size=Size.parse("95T")))
    assert sim.counts() == before


@pytest.mark.parametrize("case", _MAKING, ids=["restore", "clone"])
def test_clone_that_is_being_made_is_waited_for(kind: Kind, case: Case) -> None:
    """A job that goes on while its caller lost sight of it is neither refused nor begun again."""
    told, _ = _prepared(kind, case)
    kind.sim.do("restore")
    kind.sim.do("set", what="job_s", value=1.0)
    kind.sim.trouble("lost", "POST", "/storage/volumes$")
    with pytest.raises(Unavailable):
        case.verb(kind)
    assert case.verb(kind) == told
    assert kind.sim.counts() == case.end(kind)


def test_clone_outlives_its_snapshot(kind: Kind) -> None:
    """One whose snapshot went before it was finished is finished, for there it is."""
    _taken(kind)
    kind.sim.trouble("lost", "POST", "/storage/volumes$")
    with pytest.raises(Unavailable):
        _restore(kind)
    _delete(kind)
    handle = _restore(kind)
    assert kind.sim.counts() == {name: 2 * count for name, count in kind.made.items()}
    kind.driver().delete(kind.volume(handle, "copy"))
    assert kind.sim.counts() == kind.made
    with pytest.raises(InvalidOptions, match="no snapshot 'monday'"):
        _restore(kind)


def test_next_clone_of_a_name_never_holds_the_last_ones_data(kind: Kind) -> None:
    """A clone's snapshot that could not be deleted is not passed over, or it would be used."""
    kind.create()
    copy = kind.volume(_clone(kind), "copy")
    kind.sim.trouble("denied", "DELETE", "/snapshots/")
    with pytest.raises(AccessDenied):
        kind.driver().delete(copy)
    kind.driver().delete(copy)
    assert kind.sim.counts() == kind.made
