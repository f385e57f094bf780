"""What volplug leaves for the next guard while there is none: its last renewal, and of what.

A guard goes on from its predecessor's table, which knows of no later renewal. By that alone it
would stop what was renewed all the while.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_FILE = "renewed"


@dataclass(frozen=True, slots=True)
class Note:
    """When the last renewal was first sent, in one boot, and the leases that it holds for."""

    boot_id: str
    base_s: float = 0.0
    leases: frozenset[tuple[str, int]] = frozenset()

    def renewed_s(self, volume: str, token: int) -> float:
        """Return when a lease was last renewed, as far as this says; zero if it does not."""
        return self.base_s if (volume, token) in self.leases else 0.0


def leave(directory: Path, note: Note) -> None:
    """Leave a note in place of the one before, if that can be: without it, more is stopped."""
    words = {"boot": note.boot_id, "base_s": note.base_s, "leases": sorted(note.leases)}
    new = directory / f"{_FILE}.new"
    with suppress(OSError):
        new.write_text(json.dumps(words))
        new.replace(directory / _FILE)


def find(directory: Path, boot_id: str, now_s: float) -> Note:
    """Return what was left in this boot, and makes sense; else a note that says nothing."""
    try:
        words = json.loads((directory / _FILE).read_text())
        leases = frozenset((str(volume), int(token)) for volume, token in words["leases"])
        note = Note(str(words["boot"]), float(words["base_s"]), leases)
    except (OSError, ValueError, KeyError, TypeError):
        return Note(boot_id)
    return note if note.boot_id == boot_id and note.base_s <= now_s else Note(boot_id)
