"""What a node is called by the array: by the name of its iSCSI initiator.

That name stands on its disk, and a copied disk has it too. What its firmware says of the machine is
not copied, and tells such twins apart (backends-block, ONTAP SAN 1).
"""

import re
from pathlib import Path

from volplug.sdk import HostError
from volplug_netapp._settings import is_iqn

_INITIATOR = Path("/etc/iscsi/initiatorname.iscsi")
_FIRMWARE = Path("/sys/class/dmi/id/product_uuid")


def initiator() -> str:
    """Return the name that open-iscsi has given this machine.

    Raises HostError if there is none.
    """
    try:
        text = _INITIATOR.read_text()
    except OSError as error:
        raise HostError(
            f"{_INITIATOR} cannot be read ({error.strerror}): install open-iscsi, or set "
            "initiator for this node"
        ) from error
    found = re.search(r"^\s*InitiatorName\s*=\s*(\S+)", text, re.MULTILINE)
    if found is None or not is_iqn(found[1].lower()):
        raise HostError(f"{_INITIATOR} names no initiator: wanted InitiatorName=iqn.…")
    return found[1].lower()


def machine(node_id: str, configured: str) -> str:
    """Return what its firmware calls this machine; empty if that says nothing.

    Empty, too, if `node_id` is another one, whose firmware cannot be asked from here.
    """
    try:
        here = node_id == (configured or initiator())
        return _FIRMWARE.read_text().strip().lower() if here else ""
    except (HostError, OSError):
        return ""
