"""A machine of paper and a vendor's drivers, for everything the operator's commands look at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.admin.hall import ENTRY_POINTS
from volplug.admin.machine import Machine

MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /run rw,nosuid - tmpfs tmpfs rw
31 22 0:40 / /srv/a\\040b rw shared:9 master:1 - nfs4 filer:/srv rw
"""


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the drivers of an imaginary vendor by a handmade distribution."""
    metadata = tmp_path / "site" / "hall-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hall\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(metadata.parent))


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Machine]:
    """Make a machine that has these programs and that distribution."""

    def make(*programs: str, system: str = "ID=debian", capabilities: str = "0") -> Machine:
        root = tmp_path / "machine"
        files = {
            "etc/os-release": f'NAME="A system"\n{system}\n',
            "proc/self/status": f"Name:\tvolplug\nCapEff:\t{capabilities}\n",
            "proc/self/mountinfo": MOUNTINFO,
        }
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        for program in programs:
            path = root / "sbin" / program
            path.parent.mkdir(exist_ok=True)
            path.touch(mode=0o755)
        return Machine(root, str(root / "sbin"))

    return make
