"""EC2's error codes, in the words of the SDK: the class by the code, a next step for people.

The code and never the message decides, for messages change; one exception is noted where it is.
"""

from volplug.sdk import (
    AccessDenied,
    Busy,
    Exhausted,
    InvalidOptions,
    Unavailable,
    Unsupported,
    VolplugError,
    VolumeInUse,
    VolumeNotFound,
)

THROTTLED = frozenset(
    (
        "EC2ThrottledException", "PriorRequestNotComplete", "RequestLimitExceeded",
        "RequestThrottled", "RequestThrottledException", "SlowDown", "Throttling",
        "ThrottlingException", "TooManyRequestsException",
    )
)  # fmt: skip
EXPIRED = frozenset(
    ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
)
NO_VOLUME = "InvalidVolume.NotFound"

_RIGHTS = "docs/backends/ebs.md lists the rights that volplug needs"
_KEYS = "give the backend keys that are valid, or the instance a role"
_QUOTA = "delete volumes, or have the quota raised in Service Quotas"

_TABLE: dict[str, tuple[type[VolplugError], str]] = {
    "AccessDenied": (AccessDenied, _RIGHTS),
    "UnauthorizedOperation": (AccessDenied, _RIGHTS),
    "AuthFailure": (AccessDenied, _KEYS),
    "InvalidClientTokenId": (AccessDenied, _KEYS),
    "OptInRequired": (AccessDenied, "enable the region for the account"),
    "SignatureDoesNotMatch": (AccessDenied, _KEYS),
    "UnrecognizedClientException": (AccessDenied, _KEYS),
    **dict.fromkeys(EXPIRED, (AccessDenied, f"{_KEYS}; look at this machine's clock, too")),
    "AttachmentLimitExceeded": (Exhausted, "stop containers there, or use a larger instance"),
    "InsufficientVolumeCapacity": (Exhausted, "try another type or zone, or try again later"),
    "MaxIOPSLimitExceeded": (Exhausted, _QUOTA),
    "VolumeLimitExceeded": (Exhausted, _QUOTA),
    "VolumeModificationRateExceeded": (
        Exhausted,
        "EC2 admits four changes of a volume in 24 hours: try again later",
    ),
    "VolumeModificationSizeLimitExceeded": (Exhausted, _QUOTA),
    "SnapshotCreationPerVolumeRateExceeded": (
        Busy,
        "EC2 admits one snapshot of a volume in 15 seconds: try again in a moment",
    ),
    "ConcurrentSnapshotLimitExceeded": (
        Exhausted,
        "wait until earlier snapshots of the volume are completed",
    ),
    "SnapshotLimitExceeded": (Exhausted, "delete snapshots, or have the quota raised"),
    "IncorrectInstanceState": (Busy, "look at the instance"),
    "IncorrectModificationState": (Busy, "a change of the volume is running: try again later"),
    "IncorrectState": (Busy, "try again in a moment"),
    "OperationNotPermitted": (Unsupported, "look at the instance's protection"),
    "UnsupportedOperation": (Unsupported, "another instance type may do"),
    "InvalidVolume.ZoneMismatch": (
        Unsupported,
        "EBS volumes never leave their zone: use it on a node there",
    ),
    "VolumeInUse": (VolumeInUse, "detach it first"),
    NO_VOLUME: (VolumeNotFound, "was it deleted, or is this another account or region?"),
}
_FAMILIES: tuple[tuple[str, type[VolplugError], str], ...] = (
    ("InvalidVolumeID", VolumeNotFound, "it is no EBS volume's id"),
    ("InvalidInstanceID", Unavailable, "the node's name must be an instance id of this region"),
    ("Invalid", InvalidOptions, "correct the option"),
    ("Missing", InvalidOptions, "give the option"),
    ("Unknown", InvalidOptions, "correct the option"),
    ("VolumeTypeNotAvailableInZone", InvalidOptions, "choose another type or zone"),
)


class Refused(Exception):
    """EC2 refused with a code that the caller said it would deal with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def explain(operation: str, code: str, message: str) -> VolplugError:
    """Return the error that a user reads for a code of EC2's."""
    kind, step = _meaning(code)
    # A refusal of rights carries a long encoded blob that only an administrator can decode.
    words = message.partition("Encoded authorization")[0].strip().rstrip(".") or "no reason given"
    return kind(f"EC2 refused to {operation.replace('_', ' ')}: {words} ({code}); {step}")


def _meaning(code: str) -> tuple[type[VolplugError], str]:
    if code in _TABLE:
        return _TABLE[code]
    for start, kind, step in _FAMILIES:
        if code.startswith(start):
            return kind, step
    return Unavailable, "try again, and look up the code in the EC2 API reference"
