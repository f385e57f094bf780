"""What this node remembers of each volume it has staged, or begun to.

Written before a device is touched, so that the way down needs no backend; completed when the
volume is mounted, so that what lies at the mountpoint can be told from anything else that might.
Each record is a file of its own, replaced atomically.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from volplug import source as sources
from volplug.errors import HostError
from volplug.linux.footprint import Footprint
from volplug.source import Source

_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Mounted:
    """What was mounted at the volume's directory, in which life of the machine, from which disk.

    `disk` is `major:minor` and `disk_sequence` the kernel's count of disks, which tells a disk from
    a later one under the same number; a tree has neither.
    """

    footprint: Footprint
    boot_id: str
    disk: str = ""
    disk_sequence: int = 0


@dataclass(frozen=True, slots=True)
class Staged:
    """A volume's record; without `mounted` it was begun and not finished.

    Only then it has an `attempt`, which its programs carry, and those of no other one.
    """

    source: Source
    read_only: bool
    mounted: Mounted | None = None
    attempt: str = ""


class StagedRecords:
    """The records in a directory, one file each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def names(self) -> set[str]:
        """Return the names of the volumes that have a record."""
        try:
            files = list(self._directory.iterdir())
        except FileNotFoundError:
            return set()
        return {file.name.removesuffix(_SUFFIX) for file in files if _is_record(file)}

    def get(self, name: str) -> Staged | None:
        """Return a volume's record; raise HostError if there is one that cannot be read."""
        path = self._path(name)
        try:
            return _from_json(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"the record {path} of a staged volume cannot be read ({error}): unmount the "
                "volume by hand, then remove that file"
            ) from error

    def put(self, name: str, staged: Staged) -> None:
        """Store a volume's record, in place of the one that is there.

        Begun, it is durable. What completes it may be lost with the power, for so are the mounts
        that it describes: then the begun one is found, whole.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._path(name)
        draft = path.with_name(f".{path.name}.new")
        with draft.open("w") as file:
            file.write(_to_json(staged))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        if staged.mounted is None:
            self._sync()

    def remove(self, name: str) -> None:
        """Forget a volume durably. Already forgotten is success."""
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            return
        self._sync()

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"

    def _sync(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _is_record(file: Path) -> bool:
    return file.name.endswith(_SUFFIX) and not file.name.startswith(".")


def _to_json(staged: Staged) -> str:
    mounted = asdict(staged.mounted) if staged.mounted else None
    source = json.loads(sources.to_json(staged.source))
    fields = {"source": source, "read_only": staged.read_only, "mounted": mounted}
    return json.dumps(fields | ({"attempt": staged.attempt} if staged.attempt else {}))


def _from_json(text: str) -> Staged:
    fields = json.loads(text)
    mounted = fields["mounted"]
    if mounted is not None:
        mounted = Mounted(**{**mounted, "footprint": Footprint(**mounted["footprint"])})
    source = sources.from_json(json.dumps(fields["source"]))
    return Staged(source, fields["read_only"], mounted, fields.get("attempt", ""))
