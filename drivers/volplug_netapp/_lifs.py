"""The addresses between a node and the SVM's NFS server."""

import ipaddress
import socket

from volplug.sdk import Unavailable
from volplug_netapp._client import Ontap
from volplug_netapp._settings import NasConfig


def server(ontap: Ontap, config: NasConfig) -> str:
    """Return where nodes find the exports: as configured, or the lowest address of a LIF."""
    if config.server:
        return config.server
    found = ontap.records(
        "/network/ip/interfaces",
        **{"svm.name": config.svm, "services": "data_nfs", "enabled": "true"},
        fields="ip.address",
    )
    if not found:
        raise Unavailable(f"SVM {config.svm} has no NFS LIF: make one, or set server")
    addresses = (ipaddress.ip_address(lif["ip"]["address"]) for lif in found)
    return str(min(addresses, key=lambda address: (address.version, int(address))))


def written(server: str) -> str:
    """Write a server before a colon, as mount.nfs reads it."""
    return f"[{server}]" if ":" in server else server


def address_towards(server: str) -> str:
    """Return the address that this machine has towards a server; nothing is sent."""
    try:
        [(family, _, _, _, place), *_] = socket.getaddrinfo(server, 2049, type=socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as towards:
            towards.connect(place)
            return str(towards.getsockname()[0])
    except OSError as error:
        raise Unavailable(
            f"there is no way to {server} ({error.strerror}): check the network, or set "
            "node_address"
        ) from error
