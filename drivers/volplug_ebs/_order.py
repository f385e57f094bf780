"""What is ordered from EC2 for one volume, worked out from the options and the backend's defaults.

Its text is kept in a tag of the volume: whoever finds the volume by its name can tell whether it is
the one that was wanted, and say in what it differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from volplug.sdk import InvalidOptions, Size
from volplug_ebs._disk import GIB
from volplug_ebs._settings import EbsConfig, EbsOptions


@dataclass(frozen=True, slots=True)
class Order:
    """A call of EC2's that makes a volume; `text` is the same for the same wishes."""

    operation: str
    parameters: Mapping[str, Any]
    text: str


def blank(config: EbsConfig, options: EbsOptions, zone: str) -> Order:
    """Order an empty volume in a zone."""
    size_gib = whole_gib(config.default_size if options.size is None else options.size)
    parameters = {"Size": size_gib, **_wishes(config, options)}
    text = _text(parameters, options, f"{size_gib} GiB")
    return Order("create_volume", {**parameters, "AvailabilityZone": zone}, text)


def copy(config: EbsConfig, options: EbsOptions, origin: str, present_gib: int) -> Order:
    """Order a volume with another one's data; its size is that one's unless more is wanted.

    Raises InvalidOptions for a size that is too small.
    """
    wishes = _wishes(config, options)
    size = "as large"
    if options.size is not None:
        wishes["Size"] = size_gib = whole_gib(options.size)
        size = f"{size_gib} GiB"
        if size_gib < present_gib:
            raise InvalidOptions(
                f"size={options.size} is too small for a copy of {origin}, which has {present_gib}"
                " GiB: leave size out, or ask for as much"
            )
    text = _text(wishes, options, f"copy of {origin}, {size}")
    return Order("copy_volumes", {**wishes, "SourceVolumeId": origin}, text)


def restored(
    config: EbsConfig, options: EbsOptions, kept: Mapping[str, Any], present_gib: int, zone: str
) -> Order:
    """Order a volume out of a snapshot, in any zone of the region, as large as its origin is now.

    Raises InvalidOptions for a size that is too small, and for less secrecy than it has.
    """
    size_gib = present_gib if options.size is None else whole_gib(options.size)
    if size_gib < present_gib:
        raise InvalidOptions(
            f"size={options.size} is too small for what snapshot {kept['SnapshotId']} is of, which"
            f" has {present_gib} GiB: leave size out, or ask for as much"
        )
    wishes = {"Size": size_gib, **_wishes(config, options)}
    if kept.get("Encrypted") and options.encrypted is False:
        raise InvalidOptions(f"snapshot {kept['SnapshotId']} is encrypted: leave out encrypted=no")
    wishes["Encrypted"] = wishes["Encrypted"] or bool(kept.get("Encrypted"))
    text = _text(wishes, options, f"of {kept['SnapshotId']}, {size_gib} GiB")
    more = {"SnapshotId": kept["SnapshotId"], "AvailabilityZone": zone}
    return Order("create_volume", {**wishes, **more}, text)


def whole_gib(size: Size) -> int:
    """Round up to what EBS sells; raise InvalidOptions for nothing at all."""
    if size <= 0:
        raise InvalidOptions(f"size={size} is too small: EBS volumes have at least 1 GiB")
    return -(-size // GIB)


def _wishes(config: EbsConfig, options: EbsOptions) -> dict[str, Any]:
    encrypted = config.encrypted if options.encrypted is None else options.encrypted
    wishes: dict[str, Any] = {"VolumeType": options.type or config.default_type}
    if options.kms_key and not encrypted:
        raise InvalidOptions("kms_key is given, but the volume is not encrypted: add encrypted=yes")
    # Said both ways: without a word the account's own default decides.
    wishes["Encrypted"] = encrypted
    if encrypted and (key := options.kms_key or config.kms_key):
        wishes["KmsKeyId"] = key
    if options.iops is not None:
        wishes["Iops"] = options.iops
    if options.throughput is not None:
        wishes["Throughput"] = options.throughput
    return wishes


def _text(parameters: Mapping[str, Any], options: EbsOptions, first: str) -> str:
    """Spell the wishes out; 256 characters at most, for that is what a tag holds."""
    words = [first, str(parameters["VolumeType"])]
    words.append("encrypted" if parameters["Encrypted"] else "not encrypted")
    words += [f"key {parameters['KmsKeyId'][-64:]}"] if "KmsKeyId" in parameters else []
    words += [f"{parameters['Iops']} iops"] if "Iops" in parameters else []
    words += [f"{parameters['Throughput']} MiB/s"] if "Throughput" in parameters else []
    words += [f"in {options.zone}"] if options.zone else []
    return ", ".join(words)
