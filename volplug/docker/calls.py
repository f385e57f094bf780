"""The engine's eight calls as verbs on volumes.

Built around two facts. An error from Get, whatever its words, makes the engine forget the volume
with its labels and its users (docker-contract 0.1), so Get says "no such volume" only when that is
known for certain, and otherwise hangs up. And every waiting request occupies a thread, so the calls
that may wait for a backend are counted, and those that never do find a thread whatever the backends
are doing.

List, unlike Get, may fail in words: the engine then shows the volumes it remembers, with a warning
(8), and Podman drops nothing; hanging up would cost it 15 seconds of retries, and a partial list
would make Podman drop what is missing.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from volplug.deadline import shielded
from volplug.docker import wire
from volplug.docker.client import Client, HangUp
from volplug.docker.wire import Answer, Question
from volplug.errors import Busy, InvalidOptions, VolplugError, VolumeNotFound
from volplug.listing import Listing
from volplug.volume import check_name

_log = logging.getLogger(__name__)


class Volumes(Protocol):
    """What the front asks of the rest. Names have passed `check_name` before they get here."""

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make a volume. The same again is success, other options are VolumeExists."""
        ...

    def remove(self, name: str) -> None:
        """Delete a volume. Already gone is success."""
        ...

    def mount(self, name: str, mount_id: str) -> Path:
        """Make a volume usable here under an ID; return a directory that is verified to be it."""
        ...

    def unmount(self, name: str, mount_id: str) -> None:
        """Record, without waiting for a backend, that an ID ended. Unknown is success."""
        ...

    def get(self, name: str) -> Listing | None:
        """Return a volume, None if there is none; raise Unavailable if that cannot be known."""
        ...

    def list(self) -> list[Listing]:
        """Return all volumes."""
        ...

    def activated(self) -> None:
        """Note that a client introduced itself, which a new engine instance does."""
        ...


class Turns:
    """A number of places; who finds none free is told at once instead of taking up a thread."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._free = threading.BoundedSemaphore(places)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Occupy a place for the length of the block; raise Busy if none is free."""
        if not self._free.acquire(blocking=False):
            raise Busy(
                f"{self._places} volume operations are waiting for their backends on this node "
                "already; see what holds them up, or try again later"
            )
        try:
            yield
        finally:
            self._free.release()


class Calls:
    """Answers each question; whatever goes wrong is raised as a VolplugError or as HangUp."""

    def __init__(self, volumes: Volumes, turns: Turns, *, undo_s: float, scope: str) -> None:
        self._volumes = volumes
        self._turns = turns
        self._undo_s = undo_s
        self._scope = scope

    def activate(self, _: Question, __: Client) -> Answer:
        """Introduce ourselves, whatever happens: no engine asks twice (docker-contract 1.2)."""
        try:
            self._volumes.activated()
        except Exception:  # noqa: BLE001  a failing store must not lock the engine out for ever
            _log.warning("a new engine instance could not be noted", exc_info=True)
        return wire.activated()

    def create(self, asked: Question, _: Client) -> Answer:
        """Make a volume."""
        name = check_name(asked.name)
        with self._turns.take():
            self._volumes.create(name, asked.options)
        return wire.done()

    def remove(self, asked: Question, _: Client) -> Answer:
        """Delete a volume; a name that none can have is gone already."""
        if _possible(asked.name):
            with self._turns.take():
                self._volumes.remove(asked.name)
        return wire.done()

    def mount(self, asked: Question, client: Client) -> Answer:
        """Mount a volume; leave no trace if the answer cannot be given or nobody waits for it."""
        name, mount_id = check_name(asked.name), wire.check_mount_id(asked.mount_id)
        with self._turns.take():
            directory = self._volumes.mount(name, mount_id)
            try:
                answer = wire.mounted(directory)
                client.check_present()
            except Exception:
                with shielded(self._undo_s):
                    self._volumes.unmount(name, mount_id)
                raise
        return answer

    def unmount(self, asked: Question, _: Client) -> Answer:
        """End an ID. It waits for no turn: a refused Unmount is never sent again (0.7)."""
        if _possible(asked.name):
            self._volumes.unmount(asked.name, asked.mount_id)
        return wire.done()

    def get(self, asked: Question, _: Client) -> Answer:
        """Describe a volume, or say that there is none; hang up unless it is known which."""
        try:
            found = self._find(asked.name)
        except VolplugError as error:
            raise HangUp(str(error)) from error
        except Exception as error:
            _log.exception("Get of %r: internal error", asked.name)
            raise HangUp("internal error") from error
        if found is None:
            raise _not_found(asked.name)
        return wire.volume(asked.name, found)

    def path(self, asked: Question, _: Client) -> Answer:
        """Say where a volume is mounted, if it is."""
        found = self._find(asked.name)
        if found is None:
            raise _not_found(asked.name)
        return wire.path(found)

    def list(self, _: Question, __: Client) -> Answer:
        """Describe all volumes."""
        return wire.volumes(self._volumes.list())

    def capabilities(self, _: Question, __: Client) -> Answer:
        """State what never changes."""
        return wire.capabilities(self._scope)

    def _find(self, name: str) -> Listing | None:
        """Look a volume up; a name that none can have needs no look."""
        return self._volumes.get(name) if _possible(name) else None


def _possible(name: str) -> bool:
    """Say whether a volume may have this name; engines probe for any (docker-contract 0.12)."""
    try:
        check_name(name)
    except InvalidOptions:
        return False
    return True


def _not_found(name: str) -> VolumeNotFound:
    """Say that there is no such volume."""
    return VolumeNotFound(f"no such volume: {name[:128]}")
