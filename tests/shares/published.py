"""The packages `libnfs` and `gfapi` as PyPI has them, installed apart, and programs that use them.

They are what the drivers must not be hurt by, so they are tried for real. Each needs a crutch to be
imported at all on the Pythons of today.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.machine import need_directory, need_program
from volplug.conversation import Conversation

# libnfs 1.0.post4 imports `imp`, which Python 3.12 dropped.
_IMP = """
import importlib.util, pathlib, sys, types
def find_module(name, places):
    file = next(pathlib.Path(places[0]).glob(name + "*.so"))
    return file.open("rb"), str(file), None
def load_module(name, file, path, description):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
if sys.version_info >= (3, 12):
    sys.modules["imp"] = types.SimpleNamespace(find_module=find_module, load_module=load_module)
"""
# gfapi 1.2 takes Iterator from where Python 3.10 no longer has it.
_ITERATOR = "import collections.abc; collections.Iterator = collections.abc.Iterator\n"
CRUTCHES = _IMP + _ITERATOR

_ANSWER = "\nprint('{\"value\": 1}', flush=True); input()"


class Published:
    """A directory that holds both packages."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def conversation(self, program: str) -> Conversation:
        """Start a program that runs those lines before it answers."""
        path = f"import sys; sys.path.insert(0, {str(self.place)!r})\ninput()\n"
        return Conversation([sys.executable, "-c", path + program + _ANSWER])


def install(place: Path) -> Published:
    """Install both packages below a directory; libnfs has to be compiled."""
    need_program("cc", "gcc")
    need_program("nfs-ls", "libnfs-utils")
    need_directory(Path("/usr/include/nfsc"), "libnfs-dev")
    need_directory(Path(sysconfig.get_path("include")), "python3-dev")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place)]
    done = subprocess.run(
        [*pip, "setuptools", "libnfs", "gfapi"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"needs the packages libnfs and gfapi: {done.stderr[-300:]}")
    return Published(place)
