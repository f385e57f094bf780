"""Lives of volumes in which volplug is killed at every step: `lives.py SIZE LARGER OPTION...`.

Each death is that of a process which was told, as `volplug serve` can be, where to die; the next
one looks first at what it finds, then repeats the call that was cut short, and goes on with the
volume's life until it comes to the next step where it is to die. All that serving needs is put
together as `serve` does it; only the web server is left out, and the processes are forks of one
that has read the programs already, for that takes longest on an emulated processor. Prints each
life as JSON: the steps where it was killed, and what is left at its end.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from volplug import config, registry, stores
from volplug.backends import Backends
from volplug.crashpoint import VARIABLE
from volplug.deadline import deadline, wait_until
from volplug.errors import VolplugError
from volplug.main import Agent, assemble
from volplug.options import Size, parse
from volplug.volume import AccessMode, Volume

_NAME = "life"
_CONTENT = "precious"
_PATIENCE_S = 120.0
_PROGRESS = Path("/run/lives.progress")
# In the order in which a life comes by.
_STEPS = (
    "create.recorded", "create.made", "create.ready",
    "up.leased", "up.attached", "stage.recorded", "stage.attached", "stage.format.remembered",
    "stage.format.made", "stage.mounted", "stage.ready", "stage.bound", "stage.handed", "up.staged",
    "mount.recorded", "unmount.recorded",
    "unstage.unbound", "unstage.unmounted", "unstage.detached", "unstage.removed",
    "down.unstaged", "down.detached", "down.released", "drain.forgotten",
    "expand.expanded", "delete.recorded", "delete.deleted", "delete.forgotten",
)  # fmt: skip


class Life:
    """What is done with a volume, a verb after another, each repeatable."""

    def __init__(self, agent: Agent, words: list[str]) -> None:
        size, self._larger, *options = words
        self.options = {"size": size, **dict(word.split("=", 1) for word in options)}
        self._agent = agent
        self.verbs: list[Callable[[], None]] = [
            self._create, self._write, self._unmount, self._expand, self._read, self._unmount,
            self._remove,
        ]  # fmt: skip

    def _create(self) -> None:
        self._agent.service.create(_NAME, self.options)

    def _write(self) -> None:
        file = self._agent.service.mount(_NAME, "user") / "file"
        file.write_text(_CONTENT)
        os.sync()

    def _read(self) -> None:
        found = (self._agent.service.mount(_NAME, "user") / "file").read_text()
        if found != _CONTENT:
            raise AssertionError(f"written was {_CONTENT!r}, and found {found!r}")

    def _unmount(self) -> None:
        self._agent.service.unmount(_NAME, "user")
        wait_until(lambda: not self._agent.administration.leases(), "the lease to be given back")

    def _expand(self) -> None:
        self._agent.administration.expand(_NAME, Size.parse(self._larger))

    def _remove(self) -> None:
        self._agent.service.remove(_NAME)


def live_on(step: str, words: list[str]) -> None:
    """Be volplug from where the last one died, until the life ends, or until the step."""
    os.environ[VARIABLE] = step
    said = config.load(None, {})
    agent = assemble(said, stores.open_local(said))
    agent.renewal.start()
    agent.keeper.start()
    for number, verb in enumerate(Life(agent, words).verbs):
        if number >= int(_PROGRESS.read_text()):
            persist(verb)
            _PROGRESS.write_text(str(number + 1))


def persist(verb: Callable[[], None]) -> None:
    """Do a verb as a person does who tries again while something else is at it."""
    end_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with deadline(_PATIENCE_S):
                verb()
        except VolplugError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.2)
        else:
            return


def died(step: str, words: list[str]) -> bool:
    """Live on in a process of its own; return whether it was killed, and not done."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            live_on(step, words)
            code = 0
        except BaseException:  # noqa: BLE001  a fork must never run what its parent runs
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code > 0:
        raise SystemExit(f"the one that was to die at {step!r} failed")
    return code < 0


def one_life(steps: list[str], words: list[str]) -> list[str]:
    """Live once, dying at each of the steps that the life comes by; return those."""
    _PROGRESS.write_text("0")
    passed: list[str] = []
    for step in steps:
        if not died(step, words):
            return passed
        passed.append(step)
    if died("", words):
        raise SystemExit("killed where nobody was to die")
    return passed


def left() -> list[str]:
    """List what is left on this machine of a volume."""
    state = Path("/var/lib/volplug")
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "/volplug/" in line]
    disks = [path.name for pattern in ("nvme*", "sd*") for path in Path("/sys/block").glob(pattern)]
    staged = [str(path) for place in ("staged", "mounts") for path in state.glob(f"{place}/[!.]*")]
    return mounts + disks + staged


def warm_up(size: str) -> None:
    """Read, for all that are forked, what a client reads when it is used for the first time.

    Without volplug around its drivers, for that has threads, and those are not to be forked.
    """
    said = config.load(None, {})
    backends = Backends(
        said.backends, default=said.default_backend, load=registry.load, state_dir=Path("/run")
    )
    driver = backends.driver(said.default_backend)
    options: Any = parse(driver.options_type, {"size": size}, what="warm")
    with deadline(_PATIENCE_S):
        handle = driver.create("warm", options)
        mode = AccessMode.SINGLE_WRITER
        driver.delete(Volume("warm", said.default_backend, handle, mode, options))


def main() -> None:
    """Live until every step was died at."""
    words, steps = sys.argv[1:], list(_STEPS)
    warm_up(words[0])
    while steps:
        passed = one_life(steps, words)
        steps = [step for step in steps if step not in passed]
        sys.stdout.write(json.dumps({"died_at": passed, "left": left()}) + "\n")
        sys.stdout.flush()
        if not passed:
            raise SystemExit(f"no life comes by {steps[0]}")


main()
