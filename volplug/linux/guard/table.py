"""What is armed, in a file that is mapped into memory: it survives the guard, not the machine.

A guard that is killed in mid-write leaves a torn record. So each has a checksum, and is written
where it was not before, with a higher number, before its predecessor is taken away: of two good
ones for the same volume the later holds. Records are of another boot if the header says so; then
whatever they armed died with the machine.
"""

import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from volplug.guard import State

_RECORD_BYTES = 256
_RECORDS = 8192
_HEADER = struct.Struct("=16s64s")
_MAGIC = b"volplug guard 1\0"
_BODY = struct.Struct("=QQBBdddI128s")
_SUM = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: a volume under a token, since when it was renewed, and how it stands.

    `staged` says whether its way up is over; until then its helpers may be at the device.
    """

    volume: str
    token: int
    base_s: float
    freeze_s: float
    stop_s: float
    state: State = State.ACTIVE
    staged: bool = False


class Full(Exception):
    """There is no room for another volume."""


class Table:
    """The mapped file. One guard at a time writes it; anybody may read it."""

    def __init__(self, path: Path, boot_id: str, *, writable: bool) -> None:
        """Map the file, made anew if it is another boot's or not ours; raise OSError."""
        size = _RECORD_BYTES * (_RECORDS + 1)
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        file = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            header = _HEADER.pack(_MAGIC, boot_id.encode())
            found = os.pread(file, _HEADER.size, 0)
            self.is_ours = found == header and os.fstat(file).st_size == size
            if writable and not self.is_ours:
                os.ftruncate(file, 0)
                os.ftruncate(file, size)
                os.pwrite(file, header, 0)
            if os.fstat(file).st_size != size:
                raise OSError(f"{path} is not a guard's table")
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(file, size, access=access)
        finally:
            os.close(file)
        self._slots: dict[str, int] = {}
        self._written: dict[str, Entry] = {}
        self._free = list(range(_RECORDS, 0, -1))
        self._number = 0
        if writable:
            self._take_over()

    def read(self) -> list[Entry]:
        """Return what stands in it, by volume; torn records are passed over."""
        return [entry for _, _, entry in self._newest()]

    def state(self, volume: str) -> State | None:
        """Return how a volume stands by what was written last; None if it is not in the table."""
        known = self._written.get(volume)
        return known.state if known else None

    def write(self, entry: Entry) -> None:
        """Put a volume's record in place of the one it had; raise Full."""
        if self._written.get(entry.volume) == entry:
            return
        if not self._free:
            raise Full(f"more than {_RECORDS - 1} volumes are armed")
        slot = self._free.pop()
        self._number += 1
        self._pack(slot, self._number, entry)
        self._drop(entry.volume)
        self._slots[entry.volume] = slot
        self._written[entry.volume] = entry

    def remove(self, volume: str) -> None:
        """Take a volume's record away. None there is success."""
        self._drop(volume)

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()

    def _take_over(self) -> None:
        """Go on numbering from what stands here, and leave one good record for each volume."""
        kept = self._newest()
        self.is_ours = True
        self._number = max((number for number, _, _ in kept), default=0)
        used = {slot: entry for _, slot, entry in kept}
        for slot in range(1, _RECORDS + 1):
            if slot not in used:
                self._clear(slot)
        self._slots = {entry.volume: slot for slot, entry in used.items()}
        self._written = {entry.volume: entry for entry in used.values()}
        self._free = [slot for slot in range(_RECORDS, 0, -1) if slot not in used]

    def _newest(self) -> list[tuple[int, int, Entry]]:
        """Return the latest good record of each volume: its number, its slot, what it says."""
        newest: dict[str, tuple[int, int, Entry]] = {}
        for slot in range(1, _RECORDS + 1) if self.is_ours else ():
            found = self._unpack(slot)
            if found is not None:
                number, entry = found
                known = newest.get(entry.volume)
                if known is None or known[0] < number:
                    newest[entry.volume] = number, slot, entry
        return [newest[volume] for volume in sorted(newest)]

    def _drop(self, volume: str) -> None:
        slot = self._slots.pop(volume, None)
        self._written.pop(volume, None)
        if slot is not None:
            self._clear(slot)
            self._free.append(slot)

    def _clear(self, slot: int) -> None:
        start = slot * _RECORD_BYTES
        if self._map[start : start + _SUM.size] != bytes(_SUM.size):
            self._map[start : start + _SUM.size] = bytes(_SUM.size)

    def _pack(self, slot: int, number: int, entry: Entry) -> None:
        name = entry.volume.encode()
        body = _BODY.pack(
            number,
            entry.token,
            entry.state,
            entry.staged,
            entry.base_s,
            entry.freeze_s,
            entry.stop_s,
            len(name),
            name,
        )
        start = slot * _RECORD_BYTES
        self._map[start : start + _SUM.size + _BODY.size] = _SUM.pack(_sum(body)) + body

    def _unpack(self, slot: int) -> tuple[int, Entry] | None:
        start = slot * _RECORD_BYTES
        record = self._map[start : start + _SUM.size + _BODY.size]
        (found,), body = _SUM.unpack_from(record), record[_SUM.size :]
        if not found or found != _sum(body):
            return None
        number, token, state, staged, base_s, freeze_s, stop_s, length, name = _BODY.unpack(body)
        volume = name[:length].decode()
        return number, Entry(volume, token, base_s, freeze_s, stop_s, State(state), bool(staged))


def _sum(body: bytes) -> int:
    """Return a checksum that is never zero: that marks an empty record."""
    return zlib.crc32(body) or 1
