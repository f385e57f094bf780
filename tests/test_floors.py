"""Imports only go down: the rule of docs/ARCHITECTURE.md, by reading every module's syntax."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_FLOORS = [
    "errors volume source options deadline command conversation crashpoint mount_words pool",
    (
        "driver event host journal lease session takeover catalog mount_table listing trees guard"
        " guarding"
    ),
    (
        "administration arming backends config controller evidence facts fences guard_settings"
        " keeper ladder membership migration mounts node operations quarantine refusal registry"
        " renewal request sdk service snapshots store_settings verdict why"
    ),
    "admin docker csi linux sqlite etcd testing",
    "main cli opening stores trial verbs __main__",
]
_FLOOR = {name: floor for floor, names in enumerate(_FLOORS) for name in names.split()}
_ADAPTERS = 3
_SDK = {"volplug.sdk"}


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "volplug":
            yield from (f"volplug.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module if node.module and not node.level else "a relative import"


def _noun(module: str) -> str:
    """Return the second word of a dotted name: the root module or the adapter's folder."""
    return module.split(".")[1] if "." in module else ""


def _core_violations(root: Path) -> Iterator[str]:
    for file in sorted(root.glob("volplug/**/*.py")):
        noun = file.relative_to(root).with_suffix("").parts[1]
        if noun == "__init__":
            continue
        if noun not in _FLOOR:
            yield f"{file.relative_to(root)} stands on no floor"
            continue
        for module in _imports(file):
            other = _noun(module)
            if module.split(".")[0] == "subprocess" and noun != "command":
                yield f"{file.relative_to(root)} starts processes itself"
            elif module.split(".")[0] != "volplug":
                if module == "a relative import" or module.startswith(("drivers", "volplug_")):
                    yield f"{file.relative_to(root)} uses {module}"
            elif _FLOOR.get(other, 9) > _FLOOR[noun]:
                yield f"{file.relative_to(root)} reaches up to {module}"
            elif _FLOOR[noun] == _FLOOR[other] == _ADAPTERS and noun != other:
                yield f"{file.relative_to(root)} reaches across to {module}"


def _driver_violations(root: Path) -> Iterator[str]:
    for file in sorted(root.glob("drivers/*/**/*.py")):
        own = file.relative_to(root).parts[1]
        for module in _imports(file):
            first = module.split(".")[0]
            foreign = first == "volplug" and module not in _SDK
            other = first.startswith("volplug_") and first != own
            if foreign or other or module == "a relative import" or first in ("drivers", "tests"):
                yield f"{own}/{file.relative_to(root)} uses {module}"
            if first == "subprocess":
                yield f"{own}/{file.relative_to(root)} starts processes itself"


def test_core_imports_only_go_down() -> None:
    """No module of volplug reaches up, or across from adapter to adapter."""
    assert list(_core_violations(_ROOT)) == []


def test_root_modules_import_each_other_in_one_direction() -> None:
    """There is an order in which the root modules could be read from top to bottom."""
    graph = {
        file.stem: {_noun(module) for module in _imports(file) if module.startswith("volplug.")}
        for file in _ROOT.glob("volplug/*.py")
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_drivers_import_the_sdk_only() -> None:
    """A driver that comes with volplug has no more than a stranger's."""
    assert list(_root_drivers()) != []
    assert list(_driver_violations(_ROOT)) == []


def _root_drivers() -> Iterator[Path]:
    return _ROOT.glob("drivers/*/__init__.py")


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("volplug/volume.py", "from volplug.lease import Lease"),
        ("volplug/volume.py", "def late():\n    from volplug import controller"),
        ("volplug/controller.py", "import volplug.sqlite"),
        ("volplug/docker/app.py", "from volplug.sqlite.store import SqliteStore"),
        ("volplug/docker/app.py", "from volplug.main import main"),
        ("volplug/linux/mount.py", "import subprocess"),
        ("volplug/linux/mount.py", "from subprocess import run"),
        ("volplug/keeper.py", "from . import lease"),
        ("volplug/cli.py", "from volplug_local import LocalDriver"),
        ("volplug/utils.py", ""),
        ("drivers/volplug_x/__init__.py", "from volplug.options import option"),
        ("drivers/volplug_x/__init__.py", "from volplug import command"),
        ("drivers/volplug_x/_client.py", "from volplug_local import LocalDriver"),
        ("drivers/volplug_x/_client.py", "import subprocess"),
        ("drivers/volplug_x/_client.py", "from drivers.volplug_x import X"),
    ],
)
def test_rule_finds_a_violation(tmp_path: Path, place: str, code: str) -> None:
    """Each way to break the rule is found where it stands."""
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(code)
    assert [*_core_violations(tmp_path), *_driver_violations(tmp_path)] != []


def test_rule_allows_what_it_should(tmp_path: Path) -> None:
    """Downward imports, one's own package and the standard library are no violations."""
    allowed = {
        "volplug/lease.py": "import os\nfrom volplug.volume import AccessMode",
        "volplug/docker/app.py": "import flask\nfrom volplug.docker.body import read",
        "volplug/main.py": "from volplug.sqlite import SqliteStore",
        "volplug/command.py": "import subprocess",
        "drivers/volplug_x/__init__.py": "from volplug.sdk import run\nfrom volplug_x import _y",
    }
    for place, code in allowed.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(code)
    assert [*_core_violations(tmp_path), *_driver_violations(tmp_path)] == []
