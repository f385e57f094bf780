"""Tests of how tests ask for what they need."""

import os
from pathlib import Path

import pytest

from tests import machine


def test_a_program_that_is_there_is_found() -> None:
    """A program on the path is returned by its path and nothing is installed."""
    assert machine.need_program("sh", "dash").name == "sh"


def test_a_missing_program_skips_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be installed, the skip names the program, the package and the reason."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine._install.cache_clear()
    with pytest.raises(pytest.skip.Exception) as skipped:
        machine.need_program("no-such-program", "no-such-package")
    machine._install.cache_clear()
    assert "no-such-program (Debian package no-such-package)" in str(skipped.value)


def test_no_root_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs root is skipped for anybody else."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match="needs root"):
        machine.need_root()


def test_daemons_are_denied_during_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a package is installed no daemon may start; afterwards the policy is gone again."""
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(machine, "_POLICY", policy)
    with machine._no_daemon_starts():
        assert policy.read_text().endswith("exit 101\n")
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()
