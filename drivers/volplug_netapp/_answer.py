"""What ONTAP answered, and which refusal of the SDK's tree it stands for.

ONTAP tells most in a code of its own beside the HTTP status; one thing has several codes, by
release and by subsystem (backends-block 4). Only what is acted upon is listed; for a full
aggregate and for limits the words are read, too, for their codes differ most.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from volplug.sdk import (
    AccessDenied,
    Busy,
    Exhausted,
    Unavailable,
    VolplugError,
    VolumeInUse,
    VolumeNotFound,
)

HAS_CLONES = frozenset({"524615"})
BEING_MADE = frozenset({"13107405", "917526"})  # a FlexVol of that name, by somebody
SNAPSHOT_EXISTS = frozenset({"525059"})
SNAPSHOT_USED = frozenset({"1638555", "1638543"})
MAPPED = frozenset({"1254197", "1254213"})
_MISSING = frozenset(
    {"4", "917927", "918235", "5374875", "5374876", "1254201"}  # record, volume, LUN
    | {"5374852", "5374878", "5374922"}  # igroup, LUN map
    | {"1703954"}  # export policy
)
_FULL = frozenset({"5440509", "525062"})
_FULL_WORDS = re.compile(
    r"no space|(not enough|insufficient) .{0,40}space|maximum number|limit .{0,40}reached",
    re.IGNORECASE,
)
_RIGHTS = "give the account's role the rights that stand in docs/backends/netapp.md"
_BUSY = frozenset({"13107405", "5702832"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the REST API, or the end of the job that it began."""

    status: int
    code: str = ""
    words: str = ""
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether nothing was done."""
        return self.status >= 400

    @property
    def missing(self) -> bool:
        """Whether it was refused because what it names does not exist."""
        return self.refused and (self.status == 404 or self.code in _MISSING)

    def or_raise(self, doing: str) -> "Answer":
        """Return the answer unless it is a refusal, which is raised in the SDK's words."""
        if self.refused:
            raise self.error(doing)
        return self

    def error(self, doing: str) -> VolplugError:
        """Return the refusal that this answer stands for, naming what was being done."""
        said = f"ONTAP did not {doing}: {self.words or 'it gave no reason'}"
        said += f" (code {self.code})" if self.code else f" (HTTP status {self.status})"
        kind, cure = self._meaning()
        return kind(f"{said}; {cure}")

    def _meaning(self) -> tuple[type[VolplugError], str]:
        meanings: list[tuple[bool, type[VolplugError], str]] = [
            (self.status == 401, AccessDenied, "check user and password of the backend"),
            (self.status == 403 or self.code == "6", AccessDenied, _RIGHTS),
            (
                self.code in _FULL or _FULL_WORDS.search(self.words) is not None,
                Exhausted,
                "free room there or add an aggregate to the backend",
            ),
            (self.code in HAS_CLONES | SNAPSHOT_USED | MAPPED, VolumeInUse, "end that use first"),
            (self.missing, VolumeNotFound, "it was deleted on the array"),
            (self.code in _BUSY, Busy, "try again in a moment"),
        ]
        known = (meaning[1:] for meaning in meanings if meaning[0])
        return next(known, (Unavailable, "see to the cause, then repeat it"))
