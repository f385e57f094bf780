"""What a front shows of a volume: facts from the store alone, never from a backend."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Listing:
    """One volume as `docker volume ls` and `inspect` tell it.

    `created_at` is aware, in UTC. `mountpoint` is set only while the volume is really mounted on
    this node. `status` is flat and holds no secret.
    """

    name: str
    created_at: datetime
    mountpoint: Path | None
    status: Mapping[str, str | int | float | bool | None]
