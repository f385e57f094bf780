"""Everything that can go wrong, as a dozen classes that each front maps once.

VolplugError
├── InvalidOptions      can never succeed as written
├── VolumeNotFound      no such volume
├── VolumeExists        same name, other options; the sentence shows the difference
├── VolumeInUse         still leased, mounted or held open
├── HeldElsewhere       another holder has the lease: who, since when, what to do
├── Busy                another operation on the volume is running
├── Exhausted           no space, slot or quota left
├── AccessDenied        the backend refused our credentials or rights
├── Unsupported         the driver, host or file system lacks the ability
├── Unavailable         the backend cannot be reached
├── DeadlineExceeded    out of time; names what was awaited; a retry continues
└── HostError           mount, mkfs or the kernel said no: its own words, a cause, a cure

Anything else that is raised is a bug: logged with its traceback, shown as "internal error".
Every message is one sentence for the person who typed the command: what was wrong, what was
wanted, what exists, and the next step. The tree is closed: drivers raise these, and add none.
"""


class VolplugError(Exception):
    """A refusal or failure that a user or operator can act upon."""


class InvalidOptions(VolplugError):
    """The request can never succeed as written."""


class VolumeNotFound(VolplugError):
    """There is no such volume."""


class VolumeExists(VolplugError):
    """The name is taken by a volume with other options."""


class VolumeInUse(VolplugError):
    """The volume is leased, mounted or held open, so it cannot be deleted or changed."""


class HeldElsewhere(VolplugError):
    """Another holder has the volume, and its access mode admits no second one."""


class Busy(VolplugError):
    """Another operation on the volume is running; it must end first."""


class Exhausted(VolplugError):
    """No space, slot or quota is left for the request."""


class AccessDenied(VolplugError):
    """The backend refused our credentials or rights."""


class Unsupported(VolplugError):
    """The driver, the host or the file system lacks the ability."""


class Unavailable(VolplugError):
    """The backend cannot be reached."""


class DeadlineExceeded(VolplugError):
    """Time ran out; the outcome is unknown and a repeated request continues the work."""


class HostError(VolplugError):
    """A mount, mkfs, fsck or the kernel refused; the message carries its own words."""
