"""What operators and users can set on the EBS driver.

What only EC2 can know (which zone has which type, how many IOPS a size may have) is left to EC2 to
refuse: its limits change every year, and a copy of them here would be wrong the next.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from volplug.sdk import Secret, Size, option

VolumeType = Literal["gp3", "gp2", "io2", "io1", "st1", "sc1", "standard"]


def _words(pattern: str) -> Callable[[str], bool]:
    """Return a check that a text is empty or matches as a whole."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: not text or compiled.fullmatch(text) is not None


_zone = _words(r"[a-z]{2,}(-[a-z0-9]+)+")
_key = _words(r"[A-Za-z0-9:/_-]{1,256}")
_url = _words(r"https?://[A-Za-z0-9.:\[\]-]+/?")


@dataclass(frozen=True)
class EbsConfig:
    """One region of one account, and how volplug goes about it there."""

    region: str = option(
        help="AWS region; if empty, the one this machine is in",
        default="",
        check=_zone,
        want="a region such as eu-central-1",
    )
    zone: str = option(
        help="availability zone of new volumes; if empty, the one this machine is in",
        default="",
        check=_zone,
        want="a zone such as eu-central-1a",
    )
    cluster: str = option(
        help="marks the volumes of this cluster in the account, in the tag volplug:cluster",
        default="volplug",
        check=lambda name: re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) is not None,
        want="1 to 64 letters, digits, '_', '.' or '-'",
    )
    default_size: Size = option(help="size of a volume without size=", default=Size.parse("10G"))
    default_type: VolumeType = option(help="type of a volume without type=", default="gp3")
    encrypted: bool = option(help="encrypt volumes whose user does not say", default=True)
    kms_key: str = option(
        help="KMS key of encrypted volumes; if empty, the account's own for EBS",
        default="",
        check=_key,
        want="a key's id, alias or ARN",
    )
    fence_by: Literal["detach", "stop", "terminate"] = option(
        help="what is done to a node that must not write any more", default="detach"
    )
    access_key: Secret | None = option(
        help="access key id; without it, what the AWS SDK finds, such as the instance's role",
        default=None,
    )
    secret_key: Secret | None = option(help="secret access key", default=None)
    session_token: Secret | None = option(help="session token of temporary keys", default=None)
    endpoint: str = option(
        help="address of EC2's API, such as a VPC endpoint's; if empty, the region's own",
        default="",
        check=_url,
        want="a URL without a path",
    )
    metadata: str = option(
        help="address of the instance metadata service",
        default="http://169.254.169.254",
        check=_url,
        want="a URL without a path",
    )
    node: str = option(
        help="instance id of this machine; if empty, the metadata service is asked",
        default="",
        check=_words(r"i-[0-9a-f]{8,17}"),
        want="an instance id such as i-0123456789abcdef0",
    )
    poll_s: float = option(
        help="seconds between two questions after a state",
        default=1.0,
        check=lambda seconds: 0.01 <= seconds <= 30,
        want="0.01 to 30 seconds",
    )


@dataclass(frozen=True)
class EbsOptions:
    """What a user says of one volume."""

    size: Size | None = option(
        help="size of the volume, rounded up to whole GiB",
        default=None,
        check=lambda size: size is None or size > 0,
        want="more than nothing",
    )
    type: VolumeType | None = option(help="EBS volume type", default=None)
    iops: int | None = option(
        help="provisioned operations per second, for gp3, io1 and io2",
        default=None,
        check=lambda iops: iops is None or 1 <= iops < 2**31,
        want="a positive number",
    )
    throughput: int | None = option(
        help="provisioned MiB/s, for gp3",
        default=None,
        check=lambda mib: mib is None or 1 <= mib < 2**31,
        want="a positive number",
    )
    encrypted: bool | None = option(help="encrypt the volume", default=None)
    kms_key: str = option(
        help="KMS key of an encrypted volume",
        default="",
        check=_key,
        want="a key's id, alias or ARN",
    )
    zone: str = option(
        help="availability zone; only nodes there can use the volume",
        default="",
        check=_zone,
        want="a zone such as eu-central-1a",
    )
    fstype: Literal["ext4", "xfs", "btrfs"] = option(help="file system", default="ext4")
