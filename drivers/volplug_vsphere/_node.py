"""What vCenter calls this machine: its BIOS UUID.

The DMI serial spells it as vCenter does. The field `product_uuid` has its first three groups
byte-swapped on some firmware (backends-block 3), so it is only the second choice.
"""

import re
from pathlib import Path

from volplug.sdk import HostError

_DMI = Path("/sys/class/dmi/id")


def bios_uuid(dmi: Path = _DMI) -> str:
    """Read this machine's BIOS UUID; HostError where it is no VMware machine, or hides it."""
    serial = _read(dmi / "product_serial")
    digits = re.sub(r"[^0-9a-f]", "", serial.lower().removeprefix("vmware-"))
    if serial.lower().startswith("vmware-") and len(digits) == 32:
        return spelt(digits)
    if "vmware" in _read(dmi / "sys_vendor").lower():
        digits = re.sub(r"[^0-9a-f]", "", _read(dmi / "product_uuid").lower())
        if len(digits) == 32:
            return spelt(digits)
    raise HostError(
        f"{dmi} does not say that this is a VMware machine: run volplug as root in one, "
        "or set vm_uuid to the machine's UUID in vCenter (uuid.bios)"
    )


def spelt(text: str) -> str:
    """Write 32 hexadecimal digits, whatever stands between them, as vCenter does."""
    digits = re.sub(r"[^0-9a-f]", "", text.lower())
    return "-".join(
        (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]),
    )


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
