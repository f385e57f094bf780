"""What a request wants of a volume, refused where EC2 would refuse it."""

from typing import Any

from tests.ebs.disk import refuse

MOST_GIB = {"gp3": 65536, "io2": 65536, "gp2": 16384, "io1": 16384, "st1": 16384, "sc1": 16384}
_IOPS = {"gp3": (3000, 80000), "io1": (100, 64000), "io2": (100, 256000)}


def wishes_of(response: Any, *required: str) -> dict[str, Any]:
    """Read the wishes out of a request; refuse it if a required one is missing."""
    wishes: dict[str, Any] = {}
    for word in ("AvailabilityZone", "SourceVolumeId", "SnapshotId", "VolumeType", "KmsKeyId"):
        if value := response._get_param(word):
            wishes[word] = value
    for word in ("Size", "Iops", "Throughput"):
        if response._get_param(word) is not None:
            wishes[word] = int(response._get_param(word))
    wishes["Encrypted"] = response._get_bool_param("Encrypted", False)
    wishes.setdefault("VolumeType", "gp2")
    for word in required:
        if word not in wishes:
            refuse("MissingParameter", f"The request must contain the parameter {word}")
    return wishes


def check_wishes(wishes: dict[str, Any], size: int) -> None:
    """Refuse what EC2 does not sell."""
    kind = wishes["VolumeType"]
    least = 125 if kind in ("st1", "sc1") else 1
    if not least <= size <= MOST_GIB.get(kind, 1024):
        refuse("InvalidParameterValue", f"Volume of {size}GiB is not valid for type {kind}.")
    iops = wishes.get("Iops")
    if iops is None and kind in ("io1", "io2"):
        refuse("MissingParameter", "The parameter iops must be specified for this volume type.")
    if iops is not None and kind not in _IOPS:
        refuse("InvalidParameterCombination", f"The parameter iops is not supported for {kind}.")
    if iops is not None and not _IOPS[kind][0] <= iops <= _IOPS[kind][1]:
        refuse("InvalidParameterValue", f"Volume iops of {iops} is not valid for {kind}.")
    if "Throughput" in wishes and kind != "gp3":
        refuse("InvalidParameterCombination", f"Throughput is not supported for {kind}.")
    if "Throughput" in wishes and not 125 <= wishes["Throughput"] <= 2000:
        refuse("InvalidParameterValue", "Throughput must be 125 to 2000.")
    if "KmsKeyId" in wishes and not wishes["Encrypted"]:
        refuse("InvalidParameterDependency", "KmsKeyId needs Encrypted.")
