"""What a disk may hold after a power failure, rebuilt from the system calls of a process.

A disk keeps what was synced; of the rest it may keep all, nothing, or any sectors in any order. A
name that was made or removed is sure only after its directory was synced.
"""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from volplug.command import run

_SECTOR_BYTES = 512
_CALLS = "openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink"

# What strace -xx prints, after the \x of each byte was taken out and its digits put in "".
_LINE = re.compile(r"(?P<at>\d+\.\d+) (?P<call>\w+)\((?P<args>.*)\) = \d+")
_FILE = re.compile(r"\d+<(?P<path>[^>]*)>")
_TEXT = re.compile(r'"(?P<hex>[^"]*)"')


@dataclass(frozen=True)
class Call:
    """One system call: its name, the file it was about, the bytes and the number it was given."""

    name: str
    path: Path
    data: bytes = b""
    number: int = 0


def trace(strace: Path, folder: Path, argv: list[str | Path]) -> list[Call]:
    """Run a program and return its calls that write, sync, make or remove, in order.

    One file per thread, for lines of one file would be cut in two where threads overlap.
    """
    log = folder / "calls"
    run([strace, "-ff", "-ttt", "-y", "-xx", "-s100000", f"-etrace={_CALLS}", "-o", log, *argv])
    lines = [line for file in folder.glob("calls.*") for line in file.read_text().splitlines()]
    return [call for line in sorted(lines) if (call := _parse(line))]


def _parse(line: str) -> Call | None:
    match = _LINE.match(line.replace("\\x", ""))
    if match is None:
        return None  # a call that failed, or the end of a thread
    name, args = match["call"], match["args"]
    texts = [bytes.fromhex(text["hex"]) for text in _TEXT.finditer(args)]
    if name == "unlink":
        return Call(name, Path(texts[0].decode()))
    if name == "openat":
        return Call("create", Path(texts[0].decode())) if "O_CREAT" in args else None
    file = _FILE.match(args)
    assert file is not None, f"no file in {line[:200]}"
    path = Path(bytes.fromhex(file["path"]).decode())
    if name in ("fsync", "fdatasync"):
        return Call("sync", path)
    number = int(args.rpartition(", ")[2])
    return Call(name, path, texts[0] if texts else b"", number)


@dataclass
class _File:
    """One file's bytes: as synced, as written, and the writes between the two."""

    synced: bytes = b""
    written: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        _put(self.written, offset, data)
        self.pending.append((offset, data))

    def resize(self, size_bytes: int) -> None:
        _resize(self.written, size_bytes)
        self.pending.append((size_bytes, None))

    def sync(self) -> None:
        self.synced = bytes(self.written)
        self.pending.clear()

    def torn(self, dice: random.Random) -> bytes:
        content = bytearray(self.synced)
        for offset, data in self.pending:
            if data is None:
                if dice.random() < 0.5:
                    _resize(content, offset)
                continue
            for start in range(0, len(data), _SECTOR_BYTES):
                if dice.random() < 0.5:
                    _put(content, offset + start, data[start : start + _SECTOR_BYTES])
        return bytes(content)


class Disk:
    """Some files of one directory, and what may become of them."""

    def __init__(self, folder: Path, names: set[str]) -> None:
        self._folder = folder
        self._names = names
        self._live: dict[str, _File] = {}
        self._sure: dict[str, _File] = {}

    def apply(self, call: Call) -> bool:
        """Let a call happen; say whether it was one that makes a difference here."""
        if call.name == "sync" and call.path == self._folder:
            self._sure = dict(self._live)
            return True
        if call.path.parent != self._folder or call.path.name not in self._names:
            return False
        name = call.path.name
        match call.name:
            case "create":
                self._live.setdefault(name, _File())
            case "unlink":
                del self._live[name]
            case "sync":
                self._live[name].sync()
            case "pwrite64":
                self._live[name].write(call.number, call.data)
            case "ftruncate":
                self._live[name].resize(call.number)
            case _:
                raise AssertionError(f"the rebuilding of states does not know {call}")
        return True

    def states(self, dice: random.Random) -> Iterator[Mapping[str, bytes]]:
        """Return three disks after a crash at this moment: the poorest, the richest, a torn one."""
        yield {name: file.synced for name, file in self._sure.items()}
        yield {name: bytes(file.written) for name, file in self._live.items()}
        either = (self._sure, self._live)
        yield {
            name: file.torn(dice)
            for name in sorted(self._sure.keys() | self._live.keys())
            if (file := dice.choice(either).get(name))
        }


def _put(content: bytearray, offset: int, data: bytes) -> None:
    _resize(content, max(offset, len(content)))
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size_bytes: int) -> None:
    del content[size_bytes:]
    content.extend(bytes(size_bytes - len(content)))
