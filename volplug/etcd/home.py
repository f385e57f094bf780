"""What a state directory knows of itself and of the store: a copied one must not pass for its node.

A disk that is copied with its state directory would make two machines one node, and each would
think the other's leases its own (leases.md 2.3). And a store that was restored from a backup does
not know that it forgot something: the node does.
"""

import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from volplug.errors import HostError

_MACHINE_ID = Path("/etc/machine-id")
_FILE = "home.json"


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept: who we are, and how far which store had come."""

    home: str
    machine: str
    hardware_id: str
    store: str = ""
    cluster: str = ""
    revision: int = 0
    token: int = 0


class Home:
    """The memory of one state directory."""

    def __init__(
        self, state_dir: Path, hardware_id: str, machine_id_file: Path = _MACHINE_ID
    ) -> None:
        """Read the memory, or begin it; raise HostError if it is another machine's."""
        self._file = state_dir / _FILE
        machine = _machine(machine_id_file)
        known = self._read()
        if known is None:
            known = _Known(secrets.token_hex(16), machine, hardware_id)
            self._write(known)
        for mine, here in ((known.machine, machine), (known.hardware_id, hardware_id)):
            if mine and here and mine != here:
                raise HostError(
                    f"the state directory {state_dir} belongs to another machine: if it was copied,"
                    f" empty it here; if this machine got a new identity, delete {self._file}"
                )
        self._known = known

    @property
    def id(self) -> str:
        """What tells this state directory from any other."""
        return self._known.home

    @property
    def revision(self) -> int:
        """The highest revision of the store that was noted, 0 at first."""
        return self._known.revision

    @property
    def token(self) -> int:
        """No token that this node was given before the last note is above it."""
        return self._known.token

    def check(self, *, store: str, cluster: str, revision: int) -> str:
        """Say what is wrong with the store that was found, in words to people; or nothing."""
        known = self._known
        if known.store and known.store != store:
            return f"it is another store ({store}) than before ({known.store})"
        if known.cluster and known.cluster != cluster:
            return f"its cluster ({cluster}) was made anew; before it was {known.cluster}"
        if revision < known.revision:
            return f"it is at revision {revision}, and was at {known.revision} before"
        return ""

    def note(self, *, store: str, cluster: str, revision: int, token_base: int) -> None:
        """Remember, durably, how far the store has come."""
        token = max(self._known.token, token_base + revision)
        self._known = replace(
            self._known, store=store, cluster=cluster, revision=revision, token=token
        )
        self._write(self._known)

    def _read(self) -> _Known | None:
        try:
            return _Known(**json.loads(self._file.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise HostError(
                f"{self._file} cannot be read: {error}; delete it if it is damaged"
            ) from (error)

    def _write(self, known: _Known) -> None:
        new = self._file.with_suffix(".new")
        try:
            with new.open("w") as file:
                file.write(json.dumps(asdict(known)))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._file)
        except OSError as error:
            raise HostError(f"{self._file} cannot be written: {error}") from error


def _machine(file: Path) -> str:
    """Return an identity that is derived from the machine's, which is not to be shown around."""
    try:
        machine_id = file.read_bytes().strip()
    except OSError:
        return ""
    if machine_id in (b"", b"uninitialized"):  # as images have it before their first boot
        return ""
    return hashlib.sha256(b"volplug\0" + machine_id).hexdigest()[:32]
