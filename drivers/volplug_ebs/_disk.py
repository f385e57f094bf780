"""What EC2 says of one volume, as values.

`detached` never lasts, and the other four states of an attachment all mean that the instance may
still write; so one question, "who holds it", has one answer.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Hold:
    """One instance's attachment: `attaching`, `attached`, `detaching` or `busy`."""

    instance: str
    state: str
    device: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Disk:
    """One volume: `creating`, `available`, `in-use`, `deleting`, `deleted` or `error`."""

    id: str
    state: str
    size_gib: int
    zone: str
    tags: dict[str, str]
    holds: tuple[Hold, ...]

    @classmethod
    def read(cls, answer: dict[str, Any]) -> "Disk":
        """Read a volume out of an answer of EC2's."""
        holds = (
            Hold(one["InstanceId"], one["State"], one.get("Device", ""), one.get("AttachTime"))
            for one in answer.get("Attachments", ())
            if one["State"] != "detached"
        )
        return cls(
            answer["VolumeId"],
            answer["State"],
            answer["Size"],
            answer.get("AvailabilityZone", ""),
            {tag["Key"]: tag["Value"] for tag in answer.get("Tags", ())},
            tuple(holds),
        )

    @property
    def doomed(self) -> bool:
        """Whether it is on its way out, or out."""
        return self.state in ("deleting", "deleted")

    def held_by(self, instance: str) -> Hold | None:
        """Return an instance's attachment."""
        return next((hold for hold in self.holds if hold.instance == instance), None)
