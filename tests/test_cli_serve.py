"""`volplug serve --dev`: where it serves, what it advises, and its registration with Docker."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from volplug import cli, main
from volplug.admin.spec import registered
from volplug.command import run
from volplug.config import Config
from volplug.deadline import deadline, wait_until
from volplug.errors import HostError

Serve = Callable[..., Config]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Run `serve` in an empty directory, up to the point where a server would start."""
    for name in [name for name in os.environ if name.startswith("VOLPLUG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_HOST", str(tmp_path / "no-engine.sock"))
    monkeypatch.chdir(tmp_path)
    served: list[Config] = []
    monkeypatch.setattr(main, "serve", served.append)

    def run(*words: str) -> Config:
        assert cli.main(["serve", *words]) == 0
        return served.pop()

    return run


def test_dev_keeps_everything_below_run(serve: Serve, tmp_path: Path) -> None:
    """`--dev` serves and stores below ./run, by absolute paths."""
    config = serve("--dev")
    assert config.socket == tmp_path / "run/volplug.sock"
    assert config.state_dir == tmp_path / "run/state"
    assert config.mount_dir == tmp_path / "run/state/mounts"


def test_the_environment_wins_over_dev(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VOLPLUG_SOCKET is kept although `--dev` has a socket of its own."""
    monkeypatch.setenv("VOLPLUG_SOCKET", "/elsewhere.sock")
    config = serve("--dev")
    assert (config.socket, config.state_dir) == (Path("/elsewhere.sock"), tmp_path / "run/state")


def test_dev_says_what_to_try(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a Docker engine the advice is curl, with the socket filled in."""
    serve("--dev")
    out = capsys.readouterr().out
    assert f"curl --unix-socket {tmp_path}/run/volplug.sock" in out
    assert f"ls --socket {tmp_path}/run/volplug.sock" in out
    assert "docker" not in out


def test_dev_for_real(tmp_path: Path) -> None:
    """`serve --dev` in an empty directory serves; the commands answer; SIGTERM ends it with 0."""
    environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": str(tmp_path / "no-engine.sock")}
    socket = tmp_path / "run/volplug.sock"

    def volplug(*words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "volplug.cli", *words]
        return subprocess.Popen(
            argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )

    server = volplug("serve", "--dev")
    try:
        with deadline(30):
            wait_until(socket.exists, "the socket")
        for words in (("create", "data"), ("ls",)):
            asked = volplug(*words, "--socket", str(socket))
            answer = json.loads(asked.communicate(timeout=30)[0])
            assert asked.returncode == 0
        server.send_signal(signal.SIGTERM)
        out, _ = server.communicate(timeout=30)
    finally:
        server.kill()
        run(["umount", tmp_path / "run/state/mounts"], expect=range(256))
    assert server.returncode == 0
    assert "cli.py ls --socket" in out or "volplug ls --socket" in out
    assert [one["name"] for one in answer] == ["data"]


@pytest.mark.usefixtures("serve")
def test_a_server_that_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the server cannot do is one sentence and exit code 1."""

    def refuse(config: Config) -> None:
        raise HostError(f"another volplug has {config.state_dir}")

    monkeypatch.setattr(main, "serve", refuse)
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr().err == "volplug: another volplug has /var/lib/volplug\n"


def test_spec_is_there_while_serving(tmp_path: Path) -> None:
    """The engine finds the socket by a spec file, which goes when the server goes."""
    spec = tmp_path / "plugins/volplug.spec"
    with registered(Path("/here/v.sock"), spec) as problem:
        assert problem == ""
        assert spec.read_text() == "unix:///here/v.sock\n"
    assert not spec.exists()


def test_spec_of_a_stranger_is_left_alone(tmp_path: Path) -> None:
    """A spec file that names another socket is neither overwritten nor removed."""
    spec = tmp_path / "volplug.spec"
    spec.write_text("unix:///other.sock\n")
    with registered(Path("/here/v.sock"), spec) as problem:
        assert f"{spec} belongs to another volplug (unix:///other.sock)" in problem
    assert spec.read_text() == "unix:///other.sock\n"


def test_spec_left_by_a_killed_run(tmp_path: Path) -> None:
    """Our own spec file, left behind, is taken over and removed in the end."""
    spec = tmp_path / "volplug.spec"
    spec.write_text("unix:///here/v.sock\n")
    with registered(Path("/here/v.sock"), spec) as problem:
        assert problem == ""
    assert not spec.exists()


def test_spec_outlives_a_forked_worker(tmp_path: Path) -> None:
    """A forked worker that leaves the block does not unregister its master."""
    spec = tmp_path / "volplug.spec"
    with ExitStack() as master:
        master.enter_context(registered(Path("/here/v.sock"), spec))
        child = os.fork()
        if child == 0:
            master.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert spec.exists()
    assert not spec.exists()
