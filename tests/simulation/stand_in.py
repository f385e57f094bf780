"""Puts simulated time, threads and connections under production modules for the time of a run."""

import json
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import _base as futures
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import count
from threading import get_ident
from types import ModuleType
from typing import Any
from unittest.mock import patch

from tests.simulation import threads
from tests.simulation.agent import WatchedLeases
from tests.simulation.connection import Connection
from tests.simulation.timeline import current
from volplug import (
    controller,
    deadline,
    journal,
    keeper,
    ladder,
    mounts,
    operations,
    renewal,
    session,
)
from volplug.etcd import catalog, client, held, last_seen, meta, sequencer, sessions, store, wire
from volplug.etcd.entry import Entry
from volplug.etcd.sessions import SessionRecord

_MODULES: tuple[ModuleType, ...] = (
    controller, deadline, journal, keeper, ladder, mounts, operations, renewal, session,
    catalog, client, last_seen, meta, sequencer, sessions, store,
)  # fmt: skip


class _Secrets:
    """The module `secrets`, from a seed: nothing here is to be kept from anybody."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def token_hex(self, size: int) -> str:
        """Return what is new each time."""
        return f"{next(self._numbers):0{2 * size}x}"


class _Json:
    """The module `json`, for readers that change nothing of what they read."""

    @staticmethod
    @lru_cache(maxsize=10_000)
    def loads(text: str) -> Any:
        """Read a text; the same text again is known already."""
        return json.loads(text)

    dumps = staticmethod(json.dumps)


_decoded = lru_cache(maxsize=10_000)(b64decode)
_session_read = lru_cache(maxsize=10_000)(SessionRecord.from_json)
_entry_read = lru_cache(maxsize=10_000)(Entry.read)


def _crashpoint(name: str) -> None:
    """Let the schedule strike between two effects, instead of the environment."""
    current().process.owner.world.faults.at_step(name)


@contextmanager
def simulated() -> Iterator[None]:
    """Let production modules find the simulation's time, threads and connections."""
    words: dict[str, Any] = {
        "threading": threads.Threading,
        "time": threads.Time,
        "monotonic": threads.monotonic,
        "secrets": _Secrets(),
        "crashpoint": _crashpoint,
    }
    with ExitStack() as stack:
        stack.enter_context(patch.object(threads.Time, "simulated", get_ident()))
        for module in _MODULES:
            for name, replacement in words.items():
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, replacement))
        # The same texts are read over and over: what is pure is remembered, for speed alone.
        stack.enter_context(patch.object(wire, "b64decode", _decoded))
        stack.enter_context(patch.object(held, "json", _Json))
        stack.enter_context(patch.object(SessionRecord, "from_json", _session_read))
        stack.enter_context(patch.object(Entry, "read", _entry_read))
        stack.enter_context(patch.object(futures, "threading", threads.Threading))
        stack.enter_context(patch.object(client, "Connection", Connection))
        stack.enter_context(patch.object(store, "EtcdLeases", WatchedLeases))
        yield
