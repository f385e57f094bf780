"""Everything that a driver may import, and nothing else: the promise to driver authors."""

from volplug.command import Result, by_way_of, run
from volplug.deadline import check, deadline, remaining, shielded, wait_until
from volplug.driver import (
    Attachment,
    Cloneable,
    Describing,
    Driver,
    Expandable,
    Fencing,
    Snapshot,
    Snapshottable,
)
from volplug.errors import (
    AccessDenied,
    Busy,
    DeadlineExceeded,
    Exhausted,
    HeldElsewhere,
    HostError,
    InvalidOptions,
    Unavailable,
    Unsupported,
    VolplugError,
    VolumeExists,
    VolumeInUse,
    VolumeNotFound,
)
from volplug.mount_words import FLAG, NUMBER, MountWords
from volplug.options import Mode, Secret, Size, option
from volplug.pool import Pool
from volplug.source import Device, Identity, IscsiLun, LoopFile, NvmeSerial, ScsiWwid, Share, Source
from volplug.trees.options import OnDelete, Ownership, SubdirectoryOptions
from volplug.trees.remote import RemoteTree, module, serve_tree
from volplug.trees.subdirectories import Subdirectories
from volplug.trees.tree import ENTRIES_AT_ONCE, Entry, Space, Tree
from volplug.trees.turn import turn
from volplug.volume import AccessMode, Owner, Volume

__all__ = [
    "ENTRIES_AT_ONCE",
    "FLAG",
    "NUMBER",
    "AccessDenied",
    "AccessMode",
    "Attachment",
    "Busy",
    "Cloneable",
    "DeadlineExceeded",
    "Describing",
    "Device",
    "Driver",
    "Entry",
    "Exhausted",
    "Expandable",
    "Fencing",
    "HeldElsewhere",
    "HostError",
    "Identity",
    "InvalidOptions",
    "IscsiLun",
    "LoopFile",
    "Mode",
    "MountWords",
    "NvmeSerial",
    "OnDelete",
    "Owner",
    "Ownership",
    "Pool",
    "RemoteTree",
    "Result",
    "ScsiWwid",
    "Secret",
    "Share",
    "Size",
    "Snapshot",
    "Snapshottable",
    "Source",
    "Space",
    "Subdirectories",
    "SubdirectoryOptions",
    "Tree",
    "Unavailable",
    "Unsupported",
    "VolplugError",
    "Volume",
    "VolumeExists",
    "VolumeInUse",
    "VolumeNotFound",
    "by_way_of",
    "check",
    "deadline",
    "module",
    "option",
    "remaining",
    "run",
    "serve_tree",
    "shielded",
    "turn",
    "wait_until",
]
