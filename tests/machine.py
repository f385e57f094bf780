"""What a test needs of the machine it runs on, asked for by name.

On Debian, as root, a missing program is installed instead of being a reason to skip: a suite that
skips its real-engine tests on a fresh machine proves nothing there. Debian starts a daemon as soon
as its package is unpacked, which is why the installation denies that; an engine that nobody asked
for would go on running after the tests.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin", "/sbin", "/bin"))
_POLICY = Path("/usr/sbin/policy-rc.d")


def need_linux() -> None:
    """Skip the test unless the kernel is Linux."""
    if sys.platform != "linux":
        pytest.skip(f"needs Linux: this is {sys.platform}")


def need_root() -> None:
    """Skip the test unless it runs as root on Linux."""
    need_linux()
    if os.geteuid() != 0:
        pytest.skip(f"needs root: this is uid {os.geteuid()}; run the tests as root")


def need_program(program: str, package: str) -> Path:
    """Return the path of a program, installing its Debian package if need and rights be.

    Skips the test, saying why, where the program is missing and cannot be installed. A package is
    tried once in a run.
    """
    found = _find(program)
    if found is None:
        problem = _install(package)
        found = _find(program)
        if found is None:
            pytest.skip(f"needs the program {program} (Debian package {package}): {problem}")
    return found


def need_directory(directory: Path, package: str) -> Path:
    """Return a directory that a Debian package brings, installing that as `need_program` does."""
    if not directory.is_dir():
        problem = _install(package)
        if not directory.is_dir():
            pytest.skip(f"needs {directory} (Debian package {package}): {problem}")
    return directory


def _find(program: str) -> Path | None:
    found = shutil.which(program, path=_PATH)
    return Path(found) if found else None


@functools.cache
def _install(package: str) -> str:
    """Install a Debian package and return what went wrong, in one line."""
    if _find("apt-get") is None:
        return "this is not Debian, so it was not installed"
    if os.geteuid() != 0:
        return "only root can install it"
    with _no_daemon_starts():
        install = ("install", "--yes", "--no-install-recommends", package)
        problem = _apt_get(*install)
        if problem:
            problem = _apt_get("update") or _apt_get(*install)
    return problem or f"the package {package} does not bring it"


def _apt_get(*words: str) -> str:
    """Run apt-get, waiting for others who run it, and return its last words if it failed."""
    argv = ("apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=300", *words)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": _PATH, "LC_ALL": "C"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    return "" if done.returncode == 0 else " ".join((done.stdout + done.stderr).split())[-300:]


@contextmanager
def _no_daemon_starts() -> Iterator[None]:
    """Deny package scripts the start of daemons, in Debian's own way (invoke-rc.d(8))."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
