"""An ONTAP array as a guest: the REST API of tests/netapp, with the data behind it really served.

The API's process runs in the guest and has the kernel's iSCSI target and its NFS server do what it
was asked (tests/netapp/served.py), as an array is one machine too: a LUN map that is taken away is
gone for the node before the API answers.
"""

from tests.lab.storage import IQN, Storage
from tests.netapp import certificate

_PORT = 8443
_KEYS = "/etc/array.pem"
_PLACE = "/etc/volplug/ontap"
_START_S = 120.0
_SVM = """
host = "{address}"
port = {port}
svm = "svm1"
user = "volplug"
password = "file:{place}.password"
ca_file = "{place}.pem"
owner = "lab"
aggregates = ["aggr1"]
default_size = "64M"
"""


class Array(Storage):
    """The array's one controller and SVM, which volplug knows as backends `luns` and `shares`."""

    def start_array(self) -> dict[str, str]:
        """Serve; return the files that a node needs to know the array, by their places."""
        both, public = certificate.make(self._room.directory, self.address)
        self.start_nfs()
        self.start_iscsi()
        self.write(_KEYS, both.read_text())
        server = f"exec python3 -m tests.netapp.server {_KEYS} {self.address} {_PORT} {IQN}"
        self.start("array", "sh", "-euc", f"cd /seed; {server}")
        listens = f"bash -c 'exec 3<>/dev/tcp/{self.address}/{_PORT}'"
        self.wait_for(listens, "the API to listen", _START_S)
        return {f"{_PLACE}.pem": public.read_text(), f"{_PLACE}.password": "s3cret\n"}

    def backends(self) -> str:
        """Return what a node's volplug.toml says of the array."""
        svm = _SVM.format(address=self.address, port=_PORT, place=_PLACE)
        return (
            f'[backends.luns]\ndriver = "netapp-san"\n{svm}'
            f'[backends.shares]\ndriver = "netapp-nas"\n{svm}'
        )

    def counts(self) -> dict[str, int]:
        """Count the LUNs that are served, and the maps through which nodes see them."""
        found = self.shell(
            f"""
            cd /sys/kernel/config/target/iscsi/{IQN}/tpgt_1
            ls -d lun/lun_* 2>/dev/null | wc -l
            ls -d acls/*/lun_* 2>/dev/null | wc -l
            """
        ).split()
        return {"luns": int(found[0]), "maps": int(found[1])}

    def exports(self) -> str:
        """Return who may mount which share now."""
        return self.shell("cat /etc/exports.d/array.exports")
