"""The seam that storage vendors implement: four verbs, and abilities as base classes.

A driver turns a volume into a *value* that says what to mount; the host mounts it. Every verb is
safe to repeat, from another process and another node, after a crash at any point.
"""

import dataclasses
import platform
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from volplug.options import Secret, Size, mentions
from volplug.source import Source
from volplug.volume import AccessMode, Volume

Config = TypeVar("Config")
Options = TypeVar("Options")


class Driver(ABC, Generic[Config, Options]):
    """One kind of storage.

    `Config` is what the operator sets once per backend, `Options` what a user says per volume: two
    frozen dataclasses whose fields are made with `option()`. Name both where you subclass:
    `class NfsDriver(Driver[NfsConfig, NfsOptions])`. A class that breaks a rule is refused with a
    TypeError when it is defined.

    Verbs raise only the classes of `volplug.errors`, take no timeout, and ask
    `volplug.sdk.remaining()` how long they may wait.
    """

    access_modes: ClassVar[frozenset[AccessMode]]
    """The modes that this storage can keep; others are refused when a volume is created."""

    node_local: ClassVar[bool] = False
    """Whether a volume's data is on one node, so that no other node could ever write it."""

    drain_s: ClassVar[float | None] = None
    """For how long a write may still be on its way after the node's writers were stopped.

    None where nothing bounds it. A bound lets a guarded node be waited out instead of fenced. It
    says nothing of a fence, which has to have cut the node off when it returns.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """Programs that a node must have for these volumes, such as `mount.nfs`; for the doctor."""

    size_enforced: ClassVar[str] = ""
    """How a volume's size is kept, in words for the table of drivers, such as `hard`."""

    attach_limit: ClassVar[str] = ""
    """How many volumes a node can have, and who says so, in words for that table."""

    config_type: ClassVar[type]
    options_type: ClassVar[type]

    def __init__(self, config: Config) -> None:
        self.config = config

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Learn the two dataclasses, and refuse a class that could not work."""
        super().__init_subclass__(**arguments)
        for base in getattr(cls, "__orig_bases__", ()):
            named = typing.get_args(base)
            if typing.get_origin(base) is Driver and not isinstance(named[0], TypeVar):
                cls.config_type, cls.options_type = named
                _check_declared(cls)
        if not (hasattr(cls, "options_type") or vars(cls).get("__parameters__")):
            raise TypeError(f"{cls.__name__} must name its dataclasses: Driver[Config, Options]")

    @abstractmethod
    def create(self, name: str, options: Options) -> str:
        """Make the storage of a volume and return its handle.

        Look for your own earlier work first (a tag, a deterministic name): after a crash the same
        name and options come again and must return the same handle. Raise InvalidOptions, Exhausted
        or AccessDenied when it can never work and leave nothing behind then.
        """

    @abstractmethod
    def delete(self, volume: Volume[Options]) -> None:
        """Remove the storage of a volume and all its data. Already gone is success."""

    @abstractmethod
    def attach(self, volume: Volume[Options], node_id: str) -> Source:
        """Make the volume reachable from a node and say what to mount there.

        Already attached to that node is success and gives an equal answer.
        """

    def detach(self, volume: Volume[Options], node_id: str) -> None:
        """Undo attach. Already detached, or the volume gone, is success."""

    def node_id(self) -> str:
        """Return what the backend calls this machine; by default its host name."""
        return platform.node()


class Expandable(ABC):
    """The ability to make a volume larger."""

    @abstractmethod
    def expand(self, volume: Volume[Any], size: Size) -> None:
        """Make the storage at least `size` bytes large, in use or not; repeating is success.

        The host grows the file system on it afterwards.
        """


class Cloneable(ABC):
    """The ability to make a volume that starts with another one's data."""

    @abstractmethod
    def clone(self, origin: Volume[Any], name: str, options: Any) -> str:
        """Make a volume as `create` does, holding the origin's data, and return its handle.

        The origin is not in use meanwhile. Repeating is success, as for `create`. Raise
        Unsupported, with the reason, where this backend cannot do it cheaply.
        """


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a volume held at a moment: its name, and when the backend says that was, if it tells."""

    name: str
    taken_at: datetime | None = None


class Snapshottable(ABC):
    """The ability to keep what a volume holds now, and to make volumes out of that.

    Snapshots are named within their volume, by the rule for names of volumes.
    """

    snapshot_fate: ClassVar[str]
    """What deleting a volume would do to its snapshots: "they would ..."; so it is refused."""

    @abstractmethod
    def create_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Keep what the volume holds now, in use or not; return when later writes are not in it.

        One that has the name already is left as it is. Raise VolumeNotFound if the volume is gone,
        and Unsupported, with the reason, where this backend cannot do it cheaply.
        """

    @abstractmethod
    def snapshots(self, volume: Volume[Any]) -> list[Snapshot]:
        """List the snapshots of a volume, without those that others took; none if it is gone."""

    @abstractmethod
    def delete_snapshot(self, volume: Volume[Any], name: str) -> None:
        """Delete a snapshot; volumes made from it stay. Already gone, or its volume, is success."""

    @abstractmethod
    def clone_snapshot(self, origin: Volume[Any], snapshot: str, name: str, options: Any) -> str:
        """Make a volume as `create` does, holding what the snapshot kept, and return its handle.

        Repeating is success, as for `create`. Raise InvalidOptions if there is no such snapshot.
        """


class Describing(ABC):
    """The ability to tell of a volume what its options do not, such as whether its size holds."""

    @abstractmethod
    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell operators what holds for the volume now, in words under short names.

        It may ask the backend, within the deadline; so no call that must never wait comes here.
        """


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the backend says of one node's access: who, and since when if it tells."""

    node_id: str
    since: datetime | None = None


class Fencing(ABC):
    """The ability to cut a node off from a volume without the node's help."""

    fence_proof: ClassVar[str] = ""
    """What is done, and what that proves, in words for the table of drivers."""

    late_writes: ClassVar[str] = ""
    """What of a fenced node was measured to arrive after `fence` had returned, and where."""

    @abstractmethod
    def fence(self, volume: Volume[Any], node_id: str) -> str:
        """Return only once the node can no longer write, with the proof in words.

        Repeating is success. Raise Unavailable or DeadlineExceeded when that could not be
        confirmed: never guess.
        """

    @abstractmethod
    def attachments(self, volume: Volume[Any]) -> list[Attachment]:
        """List the nodes that can reach the volume now, as the backend itself tells it."""


def _check_declared(driver: type[Driver[Any, Any]]) -> None:
    """Refuse a driver class at its definition, with a sentence for its author."""
    for declared in (driver.config_type, driver.options_type):
        parameters = getattr(declared, "__dataclass_params__", None)
        if not (parameters and parameters.frozen):
            name = getattr(declared, "__name__", declared)
            raise TypeError(f"{driver.__name__}: {name} must be a frozen dataclass")
        for field in dataclasses.fields(declared):
            if "help" not in field.metadata:
                raise TypeError(
                    f"{driver.__name__}: {declared.__name__}.{field.name} is not made with option()"
                )
    hints = typing.get_type_hints(driver.options_type)
    secrets = [name for name, kind in hints.items() if mentions(kind, Secret)]
    if secrets:
        raise TypeError(
            f"{driver.__name__}: {driver.options_type.__name__}.{secrets[0]} is a Secret, but "
            "`docker volume inspect` prints options: put it in the Config"
        )
    if not getattr(driver, "access_modes", None):
        raise TypeError(f"{driver.__name__} must name its access_modes")
    if issubclass(driver, Snapshottable) and not getattr(driver, "snapshot_fate", ""):
        raise TypeError(f"{driver.__name__} must tell its snapshot_fate")
