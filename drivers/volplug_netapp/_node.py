"""What a node is called by the array: by the name of its iSCSI initiator."""

import re
from pathlib import Path

from volplug.sdk import HostError
from volplug_netapp._settings import is_iqn

_INITIATOR = Path("/etc/iscsi/initiatorname.iscsi")


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
