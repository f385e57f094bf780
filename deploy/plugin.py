"""`make plugin`: lay out build/plugin/ for `docker plugin create volplug build/plugin`.

BASE=image takes that image as the base, through Docker and the Dockerfile; without it Debian
packages are, and no Docker is needed. Everything from the network is fetched before, as wheels, so
that what is inside the plugin is what was on this machine. The engine refuses a root filesystem
that it has seen before, under any name (docker-contract 5.2): so each build carries a stamp.
"""

import os
import shutil
import sys
import time
from pathlib import Path

from deploy import manifest
from deploy.base import Base, Debian, Image
from deploy.steps import StepFailed, run, step

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "volplug"


def build(base: Base, build_directory: Path) -> Path:
    """Make the plugin's directory anew and return it: config.json and rootfs/, with a stamp."""
    context, plugin = build_directory / "plugin-context", build_directory / "plugin"
    for directory in (context, plugin):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    fetch_wheels(base.python(), context / "wheels")
    shutil.copy(ROOT / "Dockerfile", context)
    shutil.copy(ROOT / "deploy/install", context)
    base.install(context, plugin / "rootfs")
    (plugin / "rootfs/build-stamp").write_text(f"volplug {time.time_ns()}\n")
    manifest.write(ROOT / "config.json", plugin / "config.json")
    return plugin


def fetch_wheels(python: str, wheels: Path) -> None:
    """Collect wheels of volplug, of all it imports, and of pip, for that version of Python."""
    with step("building volplug's wheel"):
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, "wheel", "--no-deps", f"--wheel-dir={wheels}", ROOT)
    with step(f"fetching what it imports, for Python {python}"):
        download = (*pip, "download", "--only-binary=:all:", f"--python-version={python}")
        (own,) = wheels.glob("volplug-*.whl")
        run(*download, f"--dest={wheels}", "pip", f"{own}[etcd]")  # a plugin is not added to later


def main() -> int:
    """Build the plugin and say what to do with it; or say in a sentence why not."""
    image = os.environ.get("BASE")
    base = Image(image) if image else Debian(CACHE)
    try:
        plugin = build(base, ROOT / "build")
    except StepFailed as problem:
        sys.stderr.write(f"make plugin: {problem}\n")
        return 1
    where = plugin.relative_to(Path.cwd()) if plugin.is_relative_to(Path.cwd()) else plugin
    sys.stdout.write(
        f"\n{where} is ready. Next:\n"
        f"  docker plugin create volplug {where}\n"
        "  docker plugin enable --timeout 0 volplug\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
