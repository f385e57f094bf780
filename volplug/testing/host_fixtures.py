"""What the contracts of a host stand on."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from volplug.host import Host
from volplug.source import Share, Source
from volplug.testing.known import Known

AGAIN = 10  # as often as CSI's own sanity test repeats a call

Elsewhere: TypeAlias = Callable[[Path], AbstractContextManager[None]]


class HostFixtures:
    """What the contracts of a host need.

    Provide the fixtures `reopen` (makes a host object on the same state each time it is called),
    `elsewhere` (mounts a directory in another mount namespace, inside a `with` block) and `vanish`
    (unmounts a volume behind the host's back).
    """

    @pytest.fixture
    def host(self, reopen: Callable[[], Host]) -> Host:
        """Return the host."""
        return reopen()

    @pytest.fixture
    def known(self) -> Known:
        """Return what is known of a volume that was never staged."""
        return Known()

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Callable[[str], Share]:
        """Return a maker of directories that a driver would answer."""

        def make(name: str = "tree") -> Share:
            directory = tmp_path / "trees" / name
            directory.mkdir(parents=True)
            return Share("bind", str(directory))

        return make

    @pytest.fixture
    def source(self, tree: Callable[[str], Share]) -> Source:
        """Return what the volume of most tests is staged from."""
        return tree("first")
