"""SIGKILL between all requests of every verb: repeated, the end is always the same."""

from collections.abc import Callable
from typing import Any

from tests.netapp.boundaries import every_boundary
from tests.netapp.conftest import Kind
from volplug.sdk import Size, Volume


def _tried(kind: Kind, before: Callable[[], Any], verb: Any, end: dict[str, int]) -> None:
    """Kill the verb at each boundary, repeat it, and count what there is on the array."""
    kind.sim.do("reset")
    before()
    kind.sim.do("keep")

    def repeat() -> None:
        verb()
        assert kind.sim.counts() == end

    assert every_boundary(verb, lambda: kind.sim.do("restore"), repeat) >= 3


def test_create(kind: Kind) -> None:
    """One volume is made, whole."""
    _tried(kind, lambda: None, kind.create, kind.made)


def test_attach(kind: Kind) -> None:
    """The node has the volume once, and the answer is the one of an undisturbed attach."""
    volumes: list[Volume[Any]] = []
    _tried(
        kind,
        lambda: volumes.__setitem__(slice(None), [kind.create()]),
        lambda: kind.driver().attach(volumes[0], kind.node),
        kind.attached,
    )


def test_detach(kind: Kind) -> None:
    """Nothing is left of the attachment, on the array neither."""
    volumes: list[Volume[Any]] = []

    def attached() -> None:
        volumes[:] = [kind.create()]
        kind.driver().attach(volumes[0], kind.node)

    _tried(kind, attached, lambda: kind.driver().detach(volumes[0], kind.node), kind.made)


def test_delete(kind: Kind) -> None:
    """Nothing is left at all."""
    volumes: list[Volume[Any]] = []
    _tried(
        kind,
        lambda: volumes.__setitem__(slice(None), [kind.create()]),
        lambda: kind.driver().delete(volumes[0]),
        {},
    )


def test_fence(kind: Kind) -> None:
    """A fence that died is finished by the next one."""
    volumes: list[Volume[Any]] = []

    def attached() -> None:
        volumes[:] = [kind.create()]
        kind.driver().attach(volumes[0], kind.node)

    _tried(kind, attached, lambda: kind.driver().fence(volumes[0], kind.node), kind.made)


def test_expand(kind: Kind) -> None:
    """The volume has its new size."""
    volumes: list[Volume[Any]] = []
    size = Size.parse("256M")
    _tried(
        kind,
        lambda: volumes.__setitem__(slice(None), [kind.create()]),
        lambda: kind.driver().expand(volumes[0], size),
        kind.made,
    )
    kept = kind.sim.do("list", what="luns" if kind.san else "volumes")
    assert [one["space"]["size"] if kind.san else one["size"] for one in kept] == [size]


def test_snapshot(kind: Kind) -> None:
    """One snapshot is taken, and one volume made of it, which outlives it."""
    volumes: list[Volume[Any]] = []
    one = kind.made | {"snapshots": 1}
    both = {name: 2 * count for name, count in kind.made.items()}

    def made() -> None:
        volumes[:] = [kind.create()]

    def snapshot() -> None:
        kind.driver().create_snapshot(volumes[0], "monday")

    def clone() -> None:
        kind.driver().clone_snapshot(volumes[0], "monday", "copy", kind.options())

    def delete() -> None:
        kind.driver().delete_snapshot(volumes[0], "monday")

    def taken() -> None:
        made()
        snapshot()

    def cloned() -> None:
        taken()
        clone()

    _tried(kind, made, snapshot, one)
    if kind.san:  # what they do for the two is the same, and takes a while
        _tried(kind, cloned, delete, both)
    else:
        _tried(kind, taken, clone, both | {"snapshots": 1})


def test_clone_and_its_end(kind: Kind) -> None:
    """One clone is made of one snapshot, and both go together."""
    volumes: list[Volume[Any]] = []
    both = {name: 2 * count for name, count in kind.made.items()} | {"snapshots": 1}

    def clone() -> None:
        handle = kind.driver().clone(volumes[0], "copy", kind.options())
        volumes[1:] = [kind.volume(handle, "copy")]

    _tried(kind, lambda: volumes.__setitem__(slice(None), [kind.create()]), clone, both)

    def cloned() -> None:
        volumes[:] = [kind.create()]
        clone()

    _tried(kind, cloned, lambda: kind.driver().delete(volumes[1]), kind.made)
