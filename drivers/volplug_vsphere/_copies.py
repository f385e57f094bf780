"""Copies of disks, which may take longer than any one call has time.

A copy is made in a file of another name, which is given the right one last: vCenter lets nobody see
how far an unfinished file is. The task is remembered, so that the next call goes on waiting for it;
a process that died leaves a copy that is waited for, deleted, and made again.
"""

import hashlib
import threading
from contextlib import suppress
from typing import Any

from volplug.sdk import DeadlineExceeded, VolumeInUse, wait_until
from volplug_vsphere import _faults, _reading
from volplug_vsphere._disks import Disks
from volplug_vsphere._place import Place
from volplug_vsphere._vim import vim, vmodl

_PREFIX = 7  # 6000C29, by which VMware's own UUIDs begin


class Copies:
    """The copies that this process began, by the path that they are for."""

    def __init__(self) -> None:
        self._tasks: dict[str, Any] = {}
        self._turn = threading.Lock()  # for the dictionary; never held while vCenter works

    def make(self, disks: Disks, origin: Place, place: Place) -> None:
        """Copy a file, or go on waiting for the copy that an earlier call began."""
        with self._turn:
            task = self._tasks.get(place.path)
        if task is None:
            _remove(disks, place)
            task = disks.copy(origin.path, place.partial)
            with self._turn:
                self._tasks[place.path] = task
        try:
            self._end(disks, origin, place, task)
        except Exception as error:
            forgotten = isinstance(error, vmodl.fault.ManagedObjectNotFound)
            if forgotten or not (isinstance(error, DeadlineExceeded) or _faults.passes(error)):
                self._forget(place)
            raise
        self._forget(place)

    def _end(self, disks: Disks, origin: Place, place: Place, task: Any) -> None:
        try:
            disks.finish(task, f"the copy of {origin.path}")
        except vim.fault.FileLocked as error:
            raise VolumeInUse(
                f"{origin.path} is open in a running machine: stop what uses it, then clone"
            ) from error
        own = disks.uuid(place.partial)
        if own is not None and own == disks.uuid(origin.path):
            disks.give_uuid(place.partial, another(own, place.path))
        try:
            with suppress(vim.fault.FileNotFound):  # somebody was faster
                disks.rename(place.partial, place.path)
        except vim.fault.FileAlreadyExists:
            _remove(disks, place)

    def _forget(self, place: Place) -> None:
        with self._turn:
            self._tasks.pop(place.path, None)


def _remove(disks: Disks, place: Place) -> None:
    """Delete what an earlier copy left; one that still runs is waited for."""
    awaited = f"an earlier copy to {place.partial}"
    wait_until(lambda: disks.remove_file(place.partial), awaited, poll_s=_reading.POLL_S)


def another(uuid: str, key: str) -> str:
    """Return a UUID of the same spelling and vendor prefix, with digits that the key decides."""
    digits = iter(hashlib.sha256(key.encode()).hexdigest())
    seen, spelt = 0, ""
    for character in uuid:
        is_digit = character in "0123456789abcdefABCDEF"
        spelt += next(digits) if is_digit and seen >= _PREFIX else character
        seen += is_digit
    return spelt
