"""Drivers are found by entry point, imported late, and refused with a way out."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from volplug import registry
from volplug.errors import InvalidOptions, Unsupported

Install = Callable[..., Path]

_WHOLE = """
from dataclasses import dataclass
from volplug.sdk import AccessMode, Driver, Share

@dataclass(frozen=True)
class Nothing: pass

class Whole(Driver[Nothing, Nothing]):
    access_modes = frozenset(AccessMode)
    def create(self, name, options): return name
    def delete(self, volume): pass
    def attach(self, volume, node_id): return Share("bind", "/")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install distributions made by hand, each with one module and one driver."""

    def install(
        driver: str, value: str, *, module: str = "", code: str = _WHOLE, metadata: str = ""
    ) -> Path:
        name = f"volplug-{driver}-{len(list(tmp_path.iterdir()))}"
        place = tmp_path / name
        about = place / f"{name.replace('-', '_')}-1.0.dist-info"
        about.mkdir(parents=True)
        about.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{metadata}"
        )
        entry_point = f"[{registry.GROUP}]\n{driver} = {value}\n"
        about.joinpath("entry_points.txt").write_text(entry_point)
        if module:
            place.joinpath(f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(place)
        return place

    return install


def test_names_lists_what_is_installed(install: Install) -> None:
    """Built-in drivers and a stranger's stand in one sorted list."""
    install("zeta", "volplug_zeta:Whole", module="volplug_zeta")
    assert registry.names() == sorted(registry.names())
    assert {"local", "loop", "zeta"} <= set(registry.names())


def test_names_imports_no_driver() -> None:
    """Listing drivers costs none of their imports."""
    code = (
        "import sys; from volplug import registry; print(registry.names());"
        " sys.exit('volplug_local' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "local" in done.stdout


def test_load_returns_the_class(install: Install) -> None:
    """A driver is loaded by its name, and again gives the same class."""
    install("eta", "volplug_eta:Whole", module="volplug_eta")
    assert registry.load("eta").__name__ == "Whole"
    assert registry.load("eta") is registry.load("eta")
    assert registry.load("local").__name__ == "LocalDriver"


def test_unknown_driver_is_refused_with_a_suggestion() -> None:
    """A slip of the finger is answered with the name that was meant, and all the others."""
    with pytest.raises(InvalidOptions, match=r"'locla', did you mean 'local'\? \(known: .*loop"):
        registry.load("locla")


def test_name_that_two_distributions_claim_is_refused(install: Install) -> None:
    """Nobody chose the order of installed distributions, so neither of the two is taken."""
    install("theta", "volplug_one:Whole", module="volplug_one")
    install("theta", "volplug_two:Whole", module="volplug_two")
    with pytest.raises(InvalidOptions, match=r"volplug-theta-0 .* and volplug-theta-1 .*uninstall"):
        registry.load("theta")


@pytest.mark.parametrize("name", ["iota", "iota-nas"])
def test_missing_library_names_the_extra(install: Install, name: str) -> None:
    """The sentence is the command that helps; several drivers may share one extra."""
    install(
        name, "volplug_iota:Whole", module="volplug_iota",
        code="import no_such_vendor_library", metadata="Provides-Extra: iota\n",
    )  # fmt: skip
    with pytest.raises(
        Unsupported, match=rf"'no_such_vendor_library'.*pip install 'volplug-{name}-0\[iota\]'"
    ):
        registry.load(name)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("syntax error", "SyntaxError"),
        ("", "AttributeError"),
        ("Whole = 5", "no Driver class"),
        ("Whole = int", "no Driver class"),
        (_WHOLE.replace("def attach", "def attach_it"), "it lacks attach"),
        (_WHOLE.replace("(frozen=True)", ""), "Nothing must be a frozen dataclass"),
    ],
)
def test_broken_driver_is_refused_with_its_fault(install: Install, code: str, words: str) -> None:
    """Whatever is wrong with a driver is told when it is loaded, with its distribution."""
    module = f"volplug_broken_{abs(hash(code))}"
    install("broken", f"{module}:Whole", module=module, code=code)
    with pytest.raises(Unsupported, match=words) as refusal:
        registry.load("broken")
    assert "'broken' of volplug-broken-0" in str(refusal.value)


def test_environment_limits_what_is_loaded(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variable set, other drivers are as if they were not installed."""
    install("kappa", "volplug_kappa:Whole", module="volplug_kappa")
    monkeypatch.setenv(registry.ONLY, "local, loop")
    assert registry.names() == ["local", "loop"]
    with pytest.raises(InvalidOptions, match=registry.ONLY):
        registry.load("kappa")
