"""The fake host keeps the contracts of the real one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from volplug.testing import DiskContract, FakeHost, HostContract


class TestFakeHost(HostContract, DiskContract):
    """A machine of files."""

    fstype = pytest.fixture(lambda _: "ext4")
    disk_bytes = pytest.fixture(lambda _: 9 * 1024 * 1024)

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], FakeHost]:
        """Return a maker of hosts on one directory."""
        return lambda: FakeHost(tmp_path / "machine")

    @pytest.fixture
    def elsewhere(
        self, reopen: Callable[[], FakeHost]
    ) -> Callable[[Path], AbstractContextManager[None]]:
        """Use whatever volume has that path."""

        def use(path: Path) -> AbstractContextManager[None]:
            host = reopen()
            [name] = [name for name in host.staged() if host.path(name) == path]
            return host.use(name)

        return use

    @pytest.fixture
    def vanish(self, reopen: Callable[[], FakeHost]) -> Callable[[str], None]:
        """Unmount behind the host's back."""
        return reopen().vanish
