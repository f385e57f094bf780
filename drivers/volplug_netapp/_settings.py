"""What operators and users can set on the two ONTAP drivers."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from volplug.sdk import Secret, Size, option

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+", re.ASCII)
_OWNER = re.compile(r"[a-z][a-z0-9]{0,15}", re.ASCII)
_IQN = re.compile(r"(iqn\.\d{4}-\d{2}\.|eui\.|naa\.)[a-z0-9.:-]{1,200}", re.ASCII)
_WORD = re.compile(r"[a-z_]+(=[A-Za-z0-9._:]+)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,202}", re.ASCII)

_LEAST = Size.parse("20M")
MOST = Size.parse("100T")
"""The size of a FlexVol, unless the array was told to allow larger ones."""


def is_host(text: str) -> bool:
    """Say whether a text can be a host name or an address."""
    return _HOST.fullmatch(text) is not None


def is_iqn(text: str) -> bool:
    """Say whether a text is an iSCSI initiator's name (RFC 3720), in the lower case ONTAP keeps."""
    return _IQN.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Say whether a text is one IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _fits(size: Size | None) -> bool:
    return size is None or _LEAST <= size <= MOST


_WANTED_SIZE = f"{_LEAST} to {MOST}, which is what a FlexVol can have"


@dataclass(frozen=True)
class NetappConfig:
    """Which storage virtual machine, by what account, and whose volumes they are."""

    host: str = option(help="the SVM's management LIF", check=is_host, want="a name or address")
    svm: str = option(help="name of the SVM", check=_is_name, want="its name in ONTAP")
    user: str = option(help="account of the SVM")
    password: Secret = option(help="password of the account")
    owner: str = option(
        help="which cluster of nodes this is, unlike that of any other that uses the SVM",
        check=lambda owner: _OWNER.fullmatch(owner) is not None,
        want="1 to 16 lower case letters and digits, a letter first",
    )
    aggregates: tuple[str, ...] = option(
        help="aggregates for new volumes; the first that has room is used",
        check=lambda names: bool(names) and all(map(_is_name, names)),
        want="names of aggregates that the SVM may use",
    )
    port: int = option(
        help="port of the REST API", default=443, check=lambda n: 0 < n < 65536, want="1 to 65535"
    )
    ca_file: Path | None = option(
        help="certificates that sign the SVM's, if the system does not know them", default=None
    )
    default_size: Size = option(
        help="size of a volume without size=",
        default=Size.parse("1G"),
        check=_fits,
        want=_WANTED_SIZE,
    )


@dataclass(frozen=True)
class SanConfig(NetappConfig):
    """How nodes reach LUNs."""

    initiator: str = option(
        help="this node's iSCSI name, if it does not stand in /etc/iscsi/initiatorname.iscsi",
        default="",
        check=lambda name: not name or is_iqn(name),
        want="such as iqn.1993-08.org.debian:01:0123456789ab",
    )
    portals: tuple[str, ...] = option(
        help="address:port of the iSCSI LIFs, if nodes reach them at others than ONTAP's own",
        default=(),
    )
    chap_user: str = option(
        help="name that nodes log in with; without it any initiator may, as ONTAP's default is",
        default="",
        check=lambda name: len(name) <= 128,
        want="at most 128 characters",
    )
    chap_password: Secret | None = option(
        help="secret that nodes log in with, the same as in their iscsid.conf", default=None
    )


@dataclass(frozen=True)
class NasConfig(NetappConfig):
    """How nodes reach exports."""

    server: str = option(
        help="name or address of the NFS LIF; without it the SVM's lowest address is used",
        default="",
        check=lambda host: not host or is_host(host),
        want="a host name or address",
    )
    version: Literal["4.1", "4.2", "3"] = option(help="NFS version", default="4.1")
    mount_options: tuple[str, ...] = option(
        help="more mount options for all volumes",
        default=(),
        check=lambda words: all(map(_WORD.fullmatch, words)),
        want="options of mount.nfs such as nconnect=4",
    )
    node_address: str = option(
        help="this node's address as the NFS LIF sees it; found by itself if empty",
        default="",
        check=lambda address: not address or is_address(address),
        want="an IPv4 or IPv6 address",
    )


@dataclass(frozen=True)
class SanOptions:
    """What a user says of one LUN."""

    size: Size | None = option(
        help="size of the volume", default=None, check=_fits, want=_WANTED_SIZE
    )
    fstype: Literal["ext4", "xfs", "btrfs"] = option(help="file system", default="ext4")


@dataclass(frozen=True)
class NasOptions:
    """What a user says of one share."""

    size: Size | None = option(
        help="size of the volume, which ONTAP enforces",
        default=None,
        check=_fits,
        want=_WANTED_SIZE,
    )
