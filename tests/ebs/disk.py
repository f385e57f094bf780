"""What the strict EC2 knows of a volume, and how it is told to be slow, late or stuck."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from moto.ec2.exceptions import EC2ClientError


@dataclass
class Knobs:
    """How slow EC2 is, how late its answers are, and where it gets stuck. Set over HTTP.

    `instances` says who an address is to the metadata service, `instance` who all others are.
    """

    create_s: float = 0.05
    delete_s: float = 0.05
    attach_s: float = 0.05
    detach_s: float = 0.05
    modify_s: float = 0.05
    optimize_s: float = 0.0
    stop_s: float = 0.05
    lag_s: float = 0.0
    stuck: bool = False
    limit: int = 27
    quota: int = 10000
    changes: int = 4
    hidden_device: str = ""
    instance: str = ""
    snapshot_s: float = 0.05
    snapshots: int = 10000
    instances: dict[str, str] = field(default_factory=dict)


@dataclass
class Shot:
    """One snapshot."""

    id: str
    volume: str
    size: int
    encrypted: bool
    tags: dict[str, str]
    begun_s: float
    begun: datetime


@dataclass
class Hold:
    """One attachment, and when it will be over."""

    device: str
    instance: Any
    begun_s: float
    gone_s: float | None = None
    busy: bool = False
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Disk:
    """One volume."""

    id: str
    zone: str
    size: int
    parameters: dict[str, Any]
    tags: dict[str, str]
    begun_s: float
    begun: datetime
    deleted_s: float | None = None
    holds: dict[str, Hold] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)


def refuse(code: str, message: str) -> NoReturn:
    """Refuse as EC2 does."""
    raise EC2ClientError(code, message)
