"""How nodes of the lab are told of a cloud that is simulated beside them.

Each puts the secrets on a node and returns the configuration of the backend `gold`.
"""

import socket

from tests.lab.node import Node
from tests.vsphere.vcenter import Vcenter

_PLACE = "/etc/volplug"


def ebs(node: Node, door: socket.socket) -> str:
    """Tell of an EC2 that is also the metadata service."""
    host, port = door.getsockname()
    node.write(f"{_PLACE}/aws.key", "testing\n")
    return f"""
[backends.gold]
driver = "ebs"
region = "us-east-1"
endpoint = "http://{host}:{port}"
metadata = "http://{host}:{port}"
access_key = "file:{_PLACE}/aws.key"
secret_key = "file:{_PLACE}/aws.key"
poll_s = 0.2
"""


def vsphere(node: Node, door: socket.socket, vcenter: Vcenter) -> str:
    """Tell of a vCenter, whose disks the node's kernel has the modules for then."""
    host, port = door.getsockname()
    node.write(f"{_PLACE}/vcenter.pem", vcenter.certificate.read_text())
    node.write(f"{_PLACE}/password", vcenter.password.read_text())
    node.shell("modprobe -a vmw_pvscsi sd_mod")
    return f"""
[backends.gold]
driver = "vsphere"
server = "{host}:{port}"
user = "volplug"
password = "file:{_PLACE}/password"
datacenter = "DC0"
datastore = "LocalDS_0"
ca_file = "{_PLACE}/vcenter.pem"
"""
