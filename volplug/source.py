"""What a driver answers when asked to attach: a value that says what to mount.

A value and not an effect, so that one host serves every driver, two answers can be compared with
`==`, and CSI can carry the answer to another machine. A device is named by an *identity* that the
node resolves through sysfs; never by a /dev name or a by-id link, which the kernel re-uses for
other disks (backends-block 1.6).
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class NvmeSerial:
    """An NVMe disk by its controller's serial number, such as an EBS volume id without the dash."""

    serial: str


@dataclass(frozen=True, slots=True)
class ScsiWwid:
    """A SCSI disk by its world-wide id as sysfs shows it, such as `naa.6000c29…`."""

    wwid: str


@dataclass(frozen=True, slots=True)
class IscsiLun:
    """A LUN of an iSCSI target; `serial` is checked after login, for LUN numbers are re-used."""

    portals: tuple[str, ...]
    iqn: str
    lun: int
    serial: str


@dataclass(frozen=True, slots=True)
class LoopFile:
    """A disk image in a file on the node; it becomes a loop device."""

    path: Path


Identity: TypeAlias = NvmeSerial | ScsiWwid | IscsiLun | LoopFile


@dataclass(frozen=True, slots=True)
class Share:
    """A directory tree that is mounted as it is.

    `fstype` is the kernel's name (`nfs`, `fuse.glusterfs`), or `bind` when `source` is a directory
    that this node already has.
    """

    fstype: str
    source: str
    mount_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """A disk: the host finds it by its identity, formats it once if it is blank, and mounts it.

    `size_bytes` is the least size the disk must show before it is touched; 0 means unknown.
    """

    identity: Identity
    fstype: str
    mount_options: tuple[str, ...] = ()
    size_bytes: int = 0


Source: TypeAlias = Share | Device

_IDENTITIES = {kind.__name__: kind for kind in (NvmeSerial, ScsiWwid, IscsiLun, LoopFile)}


def to_json(source: Source) -> str:
    """Write a source as text that `from_json` reads back to an equal value, on any node."""
    fields = {name: getattr(source, name) for name in _names(source)}
    if isinstance(source, Device):
        identity = source.identity
        fields["identity"] = {
            "kind": type(identity).__name__,
            **{name: getattr(identity, name) for name in _names(identity)},
        }
    return json.dumps({"kind": type(source).__name__, **fields}, default=str)


def from_json(text: str) -> Source:
    """Read what `to_json` wrote; raise ValueError for anything else."""
    try:
        fields = json.loads(text)
        kind = fields.pop("kind")
        fields["mount_options"] = tuple(fields["mount_options"])
        if kind == "Share":
            return Share(**fields)
        if kind == "Device":
            return Device(**{**fields, "identity": _identity(fields["identity"])})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a source: {text!r}") from error
    raise ValueError(f"not a source: {text!r}")


def _identity(fields: dict[str, Any]) -> Identity:
    kind = _IDENTITIES[fields.pop("kind")]
    if kind is LoopFile:
        return LoopFile(Path(fields["path"]))
    if kind is IscsiLun:
        fields["portals"] = tuple(fields["portals"])
    return kind(**fields)


def _names(value: Source | Identity) -> list[str]:
    return [field.name for field in dataclasses.fields(value)]
